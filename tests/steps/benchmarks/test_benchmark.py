"""The benchmark: a row a model, the best first, logged; and the tables that go into the pages of the docs."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest

from experiments.benchmarks.__main__ import BENCHMARKS
from recstage import markdown, tracking
from recstage.errors import ConfigError, ExternalToolError
from recstage.steps.benchmarks import (
    ablate,
    benchmark,
    benchmark_tables,
    docs_tables,
    library_comparison,
    measured_figures,
)
from recstage.steps.benchmarks.library_measurement import LibraryComparison
from recstage.steps.train import TrainResult

pytestmark = pytest.mark.slow


@pytest.fixture
def page(workspace):
    """A page with marks for the data set `tiny`."""
    path = workspace / "README.md"
    path.write_text("before\n<!-- benchmark tiny -->\nold\n<!-- end -->\nafter\n<!-- end -->\n")
    return path


@pytest.mark.integration
def test_the_benchmark_ranks_the_models_by_what_their_runs_logged(tiny, client, page):
    result = benchmark.run(
        benchmark.settings_from(["--data", str(tiny), "--models", '["random", "popularity", "graph"]', "--write=true"])
    )
    rows = {row["model"]: row for row in result.table}
    values = [row["ndcg_at_10"] for row in result.table]
    assert values == sorted(values, reverse=True)
    assert rows["random"]["ndcg_at_10"] < rows["graph"]["ndcg_at_10"]
    for model, row in rows.items():
        run = client.get_run(row["run_id"])
        assert run.data.metrics["ndcg_at_10"] == row["ndcg_at_10"]
        assert run.data.tags["stage-of-work"] == "benchmark"
        assert client.get_run(result.run_id).data.metrics[f"{model}_ndcg_at_10"] == row["ndcg_at_10"]
    assert 0 < result.table[0]["ndcg_at_10_p"] <= 1
    logged = mlflow.artifacts.load_text(f"runs:/{result.run_id}/benchmark.md")
    assert logged.startswith("| model | HR@10, 99 negatives |")
    assert len(logged.splitlines()) == 2 + 3
    assert page.read_text() == f"before\n<!-- benchmark tiny -->\n{logged}<!-- end -->\nafter\n<!-- end -->\n"


def test_a_model_that_the_data_is_too_small_for_is_named_and_left_out(workspace, client):
    rows = "".join(f"u{i % 4},i{(i * 7) % 10},{i}\n" for i in range(40))
    (workspace / "few.csv").write_text("user_id,item_id,timestamp\n" + rows)
    models = ["--models", '["popularity", "lambdarank"]']
    result = benchmark.run(benchmark.settings_from(["--data", str(workspace / "few.csv"), *models]))
    assert [row["model"] for row in result.table] == ["popularity"]
    assert "lambdarank needs at least 100" in result.skipped["lambdarank"]


def test_comparisons_show_ours_theirs_and_the_ratio():
    fit = LibraryComparison("als-fit", "ALS fit, ours / bare implicit", 2.0, 1.9, 2.0 / 1.9)
    alone = LibraryComparison("score-als", "ALS, one user", 0.00001, float("nan"), float("nan"))
    text = benchmark_tables.comparisons_in_markdown([fit, alone])
    assert "| ALS fit, ours / bare implicit | 2 s | 1.9 s | 1.05 |" in text
    assert "| ALS, one user | 1e-05 s |  |  |" in text
    assert benchmark_tables.comparisons_in_markdown([]) == ""


def users_of(segments: str, values: list[float]) -> pd.DataFrame:
    names = {"c": "cold", "w": "warm", "h": "hot"}
    frame = pd.DataFrame({"ndcg_at_10": values, "segment": [names[letter] for letter in segments]})
    return frame.set_index(pd.Index([f"u{n}" for n in range(len(values))], name="user_id"))


def test_composites_are_compared_with_the_best_single_model_of_each_segment():
    users = {
        "als": users_of("cchh", [0.0, 0.2, 0.9, 0.7]),
        "popularity": users_of("cchh", [0.5, 0.3, 0.1, 0.1]),
        "hybrid": users_of("cchh", [0.5, 0.3, 0.9, 0.9]),
    }
    table = benchmark_tables.against_the_best(users)
    found = table.set_index("segment")
    assert list(found.index) == ["all", "cold", "hot"]  # no user is warm
    assert found["users"].to_list() == [4, 2, 2]
    assert found["ndcg_at_10_best"].to_list() == ["als", "popularity", "als"]
    assert found["ndcg_at_10_best_value"].to_list() == pytest.approx([0.45, 0.4, 0.8])
    assert found["ndcg_at_10"].to_list() == pytest.approx([0.65, 0.4, 0.9])
    assert found.loc["cold", "ndcg_at_10_p"] == 1  # the same values
    assert found.loc["hot", "ndcg_at_10_p"] < 1
    assert "| cold | 2 | `hybrid` | 0.4000 | `popularity` 0.4000 | 1.000 |" in (
        benchmark_tables.composites_in_markdown(table)
    )
    all_hot = {model: frame[frame["segment"] == "hot"] for model, frame in users.items()}
    assert benchmark_tables.against_the_best(all_hot)["segment"].to_list() == ["all"]


def test_without_a_composite_there_is_nothing_to_compare():
    assert benchmark_tables.against_the_best({"als": users_of("h", [1.0])}).empty
    assert benchmark_tables.composites_in_markdown(pd.DataFrame()) == ""


@pytest.mark.integration
def test_the_composites_have_marks_of_their_own(tiny, client, page):
    page.write_text(page.read_text() + "<!-- composites tiny -->\nold\n<!-- end -->\n")
    models = ["--models", '["popularity", "als", "lambdarank"]', "--write=true"]
    result = benchmark.run(benchmark.settings_from(["--data", str(tiny), *models]))
    rows = {row["segment"]: row for row in result.composites}
    assert rows["all"]["model"] == "lambdarank"
    means = {row["model"]: row["ndcg_at_10"] for row in result.table}
    assert rows["all"]["ndcg_at_10"] == pytest.approx(means["lambdarank"])
    assert rows["all"]["ndcg_at_10_best_value"] == pytest.approx(max(means["als"], means["popularity"]))
    logged = mlflow.artifacts.load_text(f"runs:/{result.run_id}/benchmark.md")
    written = page.read_text()
    assert "<!-- composites tiny -->\n| segment | users | composite |" in written
    assert all(line in logged for line in written.splitlines() if line.startswith("|"))


@pytest.mark.integration
def test_several_seeds_give_means_and_spreads(tiny, client):
    one, two = (
        benchmark.run(benchmark.settings_from(["--data", str(tiny), "--models", '["random"]', f"--seed={seed}"]))
        for seed in (7, 8)
    )
    both = benchmark.run(
        benchmark.settings_from(["--data", str(tiny), "--models", '["random", "popularity"]', "--seed=7", "--seeds=2"])
    )
    row = next(row for row in both.table if row["model"] == "random")
    values = [single.table[0]["ndcg_at_10"] for single in (one, two)]
    assert values[0] != values[1]
    assert row["ndcg_at_10"] == pytest.approx(sum(values) / 2)
    assert row["ndcg_at_10_spread"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    text = mlflow.artifacts.load_text(f"runs:/{both.run_id}/benchmark.md")
    assert f"{row['ndcg_at_10']:.4f} ± {row['ndcg_at_10_spread']:.4f}" in text
    assert "±" not in next(line for line in text.splitlines() if "`popularity`" in line)


def test_an_unknown_comparison_is_refused_before_anything_is_trained(tiny):
    settings = benchmark.settings_from(["--data", str(tiny), "--models", '["random"]', "--against", '["chess"]'])
    with pytest.raises(ConfigError, match="comparison 'chess': there is no such comparison"):
        benchmark.run(settings)


def test_a_comparison_that_fails_is_named_and_costs_no_other(tiny, client, monkeypatch):
    def fails(data: str, seed: int) -> list[LibraryComparison]:
        raise ExternalToolError("the environment of recbole", rule="no index", fix="Check the package index")

    row = LibraryComparison("als-fit", "ALS fit, ours / bare implicit", 2.0, 1.9, 2.0 / 1.9)
    monkeypatch.setitem(library_comparison.NAMES, "neumf-epoch", fails)
    monkeypatch.setitem(library_comparison.NAMES, "als-fit", lambda data, seed: [row])
    against = ["--against", '["neumf-epoch", "als-fit"]']
    result = benchmark.run(benchmark.settings_from(["--data", str(tiny), "--models", '["random"]', *against]))
    assert result.comparisons == [row]
    assert "no index" in result.skipped["neumf-epoch"]
    assert client.get_run(result.run_id).data.metrics["ratio_als-fit"] == pytest.approx(2.0 / 1.9)


def test_a_table_goes_between_its_own_marks_only(page):
    docs_tables.write("benchmark tiny", markdown.table(["a", "b"], [["1", "2"]]))
    assert page.read_text() == (
        "before\n<!-- benchmark tiny -->\n| a | b |\n| --- | --- |\n| 1 | 2 |\n<!-- end -->\nafter\n<!-- end -->\n"
    )
    docs_tables.write("benchmark other", "never")
    assert "never" not in page.read_text()


@pytest.mark.parametrize("step", [benchmark, ablate])
def test_a_table_without_a_place_is_refused_before_the_work(step, tiny, page, monkeypatch):
    page.write_text("no marks")
    monkeypatch.setattr(tracking, "run", lambda *given, **named: pytest.fail("the work began"))
    with pytest.raises(ConfigError, match="no page has the marks"):
        step.run(step.settings_from(["--data", str(tiny), "--write=true"]))


def test_the_ablation_is_a_logged_run_with_its_table(tiny, client):
    result = ablate.run(
        ablate.settings_from(
            [
                *("--data", str(tiny), "--params.retrievers", '["popularity", "graph"]'),
                *("--params.groups", '["item", "stage"]', "--params.num_boost_round=10", "--evaluation.bootstrap=100"),
            ]
        )
    )
    assert [row["kind"] for row in result.table] == ["everything", *["alone"] * 2, *["retriever"] * 2, *["group"] * 2]
    text = mlflow.artifacts.load_text(f"runs:/{result.run_id}/ablation.md")
    assert text.splitlines()[2].startswith("| everything | ")
    assert "| without features `stage` |" in text
    assert client.get_run(result.run_id).data.tags["stage-of-work"] == "ablation"


MEASURED = [
    {
        "name": "better promoted, share",
        "value": 1.0,
        "unit": "",
        "goal": ">= 0.95",
        "reached": True,
        "note": "100 runs",
    },
    {"name": "  memory", "value": float("nan"), "unit": "MB", "goal": "<= 2048", "reached": False, "note": "no server"},
]


@pytest.fixture
def program(monkeypatch):
    """Stands for `python -m experiments.benchmarks`: what it was called with, and the status it ends with."""
    called = {"status": 1, "commands": []}

    def run(command, **options):
        called["commands"].append(command[1:])
        return subprocess.CompletedProcess(command, called["status"], json.dumps(MEASURED))

    monkeypatch.setattr(measured_figures, "subprocess", SimpleNamespace(run=run, PIPE=subprocess.PIPE))
    return called


def test_the_closed_loop_is_measured_by_itself_and_trains_no_model(client, workspace, program, monkeypatch):
    page = workspace / "docs" / "benchmarks.md"
    page.parent.mkdir()
    page.write_text("<!-- loop -->\nold\n<!-- end -->\n")
    monkeypatch.setattr(benchmark.train, "run_all", lambda *given: pytest.fail("a model was trained"))
    result = benchmark.run(benchmark.settings_from(["--against", "loop", "--quick=true", "--write=true"]))
    (command,) = program["commands"]
    assert command[:2] == ["-m", "experiments.benchmarks"]
    assert command[-1] == "--quick"
    assert {"loop", "off-policy", "two-versions", "snapshot"} <= set(command)
    row, missed = page.read_text().splitlines()[3:5]
    assert row == "| better promoted, share | 1 | >= 0.95 | yes | 100 runs |"
    assert missed == "| … memory | nan MB | <= 2048 | no | no server |"
    metrics = client.get_run(result.run_id).data.metrics
    assert {name: metrics[name] for name in metrics if name.startswith("loop_")} == {"loop_better_promoted_share": 1.0}


def test_a_benchmark_of_the_loop_that_fails_is_one_line(client, program):
    program["status"] = 2
    with pytest.raises(ExternalToolError, match="experiments.benchmarks .* ended with status 2"):
        benchmark.run(benchmark.settings_from(["--against", "loop"]))


def test_a_part_of_the_scale_table_that_cannot_be_measured_is_left_out_with_the_reason(client, monkeypatch):
    def run(command, **options):
        assert "MLFLOW_EXPERIMENT_NAME" not in options["env"]  # of this run; the program has a store of its own
        if "scale-index" in command:  # a library has written before
            return subprocess.CompletedProcess(command, 0, f"Fetching ...\n{json.dumps(MEASURED)}\n")
        if "scale-fleet" in command:
            return subprocess.CompletedProcess(command, 0, "Killed")
        return subprocess.CompletedProcess(command, 1 if "scale-ray" in command else 2, "")

    monkeypatch.setattr(measured_figures, "subprocess", SimpleNamespace(run=run, PIPE=subprocess.PIPE))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    result = benchmark.run(benchmark.settings_from(["--against", "scale"]))
    assert result.skipped["scale-workers"] == "it ended with status 2; its last lines say why"
    assert result.skipped["scale-ray"] == "it ended with status 1; its last lines say why"  # broke off
    assert result.skipped["scale-fleet"] == "it ended with status 0; its last lines say why"
    assert "scale-index" not in result.skipped
    assert result.figures[0].name == "better promoted, share"
    assert "scale_better_promoted_share" in client.get_run(result.run_id).data.metrics


def test_figures_of_one_name_are_metrics_of_their_own():
    one = measured_figures.Figure("  p99 of a list", 3.0, "ms", None, True, "")
    found = measured_figures.metrics("scale", [one, replace(one, value=4.0), replace(one, value=5.0)])
    assert found == {"scale_p99_of_a_list": 3.0, "scale_p99_of_a_list__2": 4.0, "scale_p99_of_a_list__3": 5.0}


def test_every_benchmark_of_growth_is_part_of_the_table():
    named = {one for call in measured_figures.SETS["scale"].calls for one in call}
    assert {name for name in BENCHMARKS if name.startswith("scale-")} <= named


@pytest.mark.parametrize("words", [["--against", "loop,als-fit"], ["--against", "scale", "--models", '["als"]']])
def test_a_set_of_figures_beside_other_comparisons_is_refused(workspace, words):
    with pytest.raises(ConfigError, match="is measured by itself"):
        benchmark.run(benchmark.settings_from(words))


def test_the_table_says_which_part_ranks_in_place_of_a_composite():
    metrics, seconds = {"ndcg_at_10": 0.3}, {"fit": 1.0, "evaluation": 1.0}
    run = TrainResult("r", "lambdarank", "m", None, metrics, seconds, {}, "all users by knn")
    users = {"lambdarank": pd.DataFrame({"ndcg_at_10": [0.3]})}
    table = benchmark_tables.as_table({"lambdarank": [run]}, users, "tiny")
    assert "| `lambdarank` (all users by knn) |" in benchmark_tables.models_in_markdown(table)
