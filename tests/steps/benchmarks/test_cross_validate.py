"""Cross-validation: a parent run, a nested run a fold, and models compared on the same folds."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest

from recstage import tracking
from recstage.errors import ConfigError, DataError, TooLittleData
from recstage.models.neighborhood.graph import Graph
from recstage.steps.benchmarks import cross_validate

pytestmark = pytest.mark.slow


def validated(data, *words):
    return cross_validate.run(cross_validate.settings_from(["--data", str(data), *words]))


def folds_of(client, run_id):
    run = client.get_run(run_id)
    found = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run_id}'")
    return sorted(found, key=lambda one: one.info.run_name)


def test_a_run_has_a_nested_run_a_fold_and_their_mean_spread_and_interval(tiny, client):
    result = validated(tiny, "--model", "graph", "--folds", "3", "--model.params.neighbors", "40")

    nested = folds_of(client, result.run_id)
    assert [run.info.run_name.split(" · ")[0] for run in nested] == [f"fold {n} of 3" for n in (1, 2, 3)]
    assert {run.data.tags["split"] for run in nested} == {f"k-fold {n}/3" for n in (1, 2, 3)}
    assert {run.data.tags["stage-of-work"] for run in nested} == {"fold"}
    assert {run.data.params["model.params.neighbors"] for run in nested} == {"40"}
    assert len({run.data.tags["fingerprint"] for run in nested}) == 3
    values = [run.data.metrics["ndcg_at_10"] for run in nested]
    (row,) = [row for row in result.table if row["metric"] == "ndcg_at_10"]
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["std"] == pytest.approx(np.std(values, ddof=1))
    assert row["low"] < row["mean"] < row["high"]
    assert [row[f"fold_{n}"] for n in (1, 2, 3)] == values
    metrics = client.get_run(result.run_id).data.metrics
    assert metrics["ndcg_at_10"] == pytest.approx(row["mean"])
    assert metrics["statistics/ndcg_at_10_low"] == pytest.approx(row["low"])
    text = mlflow.artifacts.load_text(f"runs:/{result.run_id}/cross-validation.md")
    assert f"| `graph` | ndcg_at_10 | {row['mean']:.4f} ± {row['std']:.4f} |" in text


def test_models_are_compared_on_the_same_folds(tiny, client):
    result = validated(tiny, "--model", "popularity", "--against", '["random"]', "--folds", "2")

    by_fold = {}
    for run in folds_of(client, result.run_id):
        by_fold.setdefault(run.data.tags["fingerprint"], {})[run.data.tags["model"]] = run
    assert len(by_fold) == 2
    gains = [two["popularity"].data.metrics["ndcg_at_10"] - two["random"].data.metrics["ndcg_at_10"]
             for two in by_fold.values()]  # fmt: skip
    difference = next(row for row in result.differences if row["metric"] == "ndcg_at_10")
    assert (difference["model"], difference["against"]) == ("popularity", "random")
    assert difference["difference"] == pytest.approx(np.mean(gains))
    assert 0 < difference["p_users"] < 0.05
    assert 0 < difference["p_folds"] <= 1
    assert len(tracking.table_of(result.run_id, "differences")) == len(result.differences)


def test_nothing_of_a_fold_is_fitted_to_its_test_rows(tiny, monkeypatch):
    """Presets and the tested model: none of the rows of any fit is a test row of the fold."""
    cross = cross_validate.settings_from(["--data", str(tiny), "--model", "graph", "--folds", "2"])
    tested = [pairs(cross_validate.dataset.load(fold[0].data).split.test) for fold in cross.plans]
    fitted = []
    fit = Graph._fit

    def watched(self, train, fitting):
        fitted.append(pairs(train))
        fit(self, train, fitting)

    monkeypatch.setattr(Graph, "_fit", watched)
    cross_validate.run(cross)

    fits = len(fitted) // 2
    assert fits == 3, "each fold tries the default and a preset, and fits the better one again"
    for rows in fitted[:fits]:
        assert not rows & tested[0]
    for rows in fitted[fits:]:
        assert not rows & tested[1]
    assert not tested[0] & tested[1]


def pairs(rows):
    return set(zip(rows.user_index.tolist(), rows.item_index.tolist(), strict=True))


def test_rolling_folds_train_on_what_came_before_their_window(tiny):
    cross = cross_validate.settings_from(["--data", str(tiny), "--scheme", "rolling", "--folds", "2"])
    splits = [cross_validate.dataset.load(fold[0].data).split for fold in cross.plans]
    assert [split.method for split in splits] == ["rolling 1/2", "rolling 2/2"]
    assert splits[0].test.timestamp.max() < splits[1].test.timestamp.min()
    assert all(split.train_and_validation.timestamp.max() < split.test.timestamp.min() for split in splits)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folds", "1"], "folds = '1': Input should be greater than or equal to 2"),
        (["--scheme", "bootstrap"], "scheme = 'bootstrap': Input should be 'k-fold' or 'rolling'"),
        (["--against", '["als"]'], "against = als: models that are compared differ"),
        (["--register", "true"], "register = true: a fold's model is measured and never served"),
        (["--fold", "3"], "--fold: no such setting"),
        (["--against", '["alss"]'], "alss"),
    ],
)
def test_a_mistake_is_one_line(tiny, words, message):
    with pytest.raises(ConfigError) as found:
        validated(tiny, *words)
    assert message in str(found.value)


def test_data_without_a_clock_has_no_windows(workspace):
    rows = "".join(f"u{i % 4},i{(i * 7) % 10}\n" for i in range(40))
    (workspace / "few.csv").write_text("user_id,item_id\n" + rows)
    with pytest.raises(DataError, match=r"split.method = rolling: .* Choose k-fold"):
        validated(workspace / "few.csv", "--scheme", "rolling")


def test_a_model_that_a_fold_is_too_small_for(workspace):
    rows = "".join(f"u{i % 4},i{(i * 7) % 10},{i}\n" for i in range(40))
    (workspace / "few.csv").write_text("user_id,item_id,timestamp\n" + rows)
    with pytest.raises(TooLittleData, match="lambdarank needs at least 100"):
        validated(workspace / "few.csv", "--model", "lambdarank", "--folds", "2")
    result = validated(workspace / "few.csv", "--model", "popularity", "--against", '["lambdarank"]', "--folds", "2")
    assert {row["model"] for row in result.table} == {"popularity"}
    assert "lambdarank needs at least 100" in result.skipped["lambdarank"]
