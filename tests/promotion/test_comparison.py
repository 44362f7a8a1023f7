"""The comparison: what is compared with what, as table, text and page."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser

import mlflow
import pandas as pd
import pytest

from recstage import registry, tracking
from recstage.cli import plain
from recstage.config import PromotionConfig
from recstage.errors import RegistryError
from recstage.promotion import comparison, comparison_report
from recstage.steps.registry import compare

CONFIG = PromotionConfig(bootstrap=300)
UI = "http://mlflow"


@pytest.fixture
def four(registry_driver):
    """Versions 1 (knn) and 2 (als, Production) on one data set, a run that is none, and 3 on another data set."""
    registry_driver.register("knn", mean=0.3, metrics={"ndcg_at_10_low": 0.28, "ndcg_at_10_high": 0.32})
    registry_driver.register("als", mean=0.4, seed=1)
    registry_driver.train("ncf", mean=0.35, seed=2)
    registry_driver.register("als", mean=0.9, fingerprint="f1", data="<toy>")
    registry.set_production("recommender", 2, how="promote", by="ada")
    return registry_driver


def test_only_what_was_tested_on_the_same_rows_stands_together(four):
    found = comparison.compare("recommender", CONFIG)
    assert found.production == 2
    assert [(group.data, group.fingerprint) for group in found.groups] == [("<toy>", "f1"), ("toy", "f0")]
    assert [[row.version for row in group.rows] for group in found.groups] == [[3], [2, None, 1]]
    assert found.groups[0].production == "Production, version 2 of recommender (als), was tested on other rows"
    assert found.groups[1].production == ""


def test_the_difference_to_production_is_paired_and_production_has_none(four):
    best, run, worst = comparison.compare("recommender", CONFIG).groups[1].rows
    assert best.is_production
    assert best.difference is None
    for row, expected in ((run, -0.05), (worst, -0.1)):
        assert row.difference is not None
        assert row.difference.difference == pytest.approx(expected, abs=0.02)
        assert row.difference.high < 0
    assert worst.interval == (0.28, 0.32)


def test_runs_beside_versions_are_limited_and_only_finished_training_counts(four):
    for algorithm, status, work in (
        ("a", "FAILED", "train"),
        ("b", "FINISHED", "trial"),
        ("c", "FINISHED", "benchmark"),
    ):
        run_id = four.train(algorithm, status=status, model=False)
        four.client.set_tag(run_id, "stage-of-work", work)
    rows = comparison.compare("recommender", CONFIG).groups[1].rows
    assert {row.algorithm for row in rows if row.version is None} == {"ncf", "c"}
    rows = comparison.compare("recommender", CONFIG, unregistered=1).groups[1].rows
    assert [row.algorithm for row in rows if row.version is None] == ["c"]
    rows = comparison.compare("recommender", CONFIG, unregistered=0).groups[1].rows
    assert [row.version for row in rows] == [2, 1]


def test_a_data_set_with_a_quote_in_its_name_is_found(registry_driver):
    registry_driver.register("als", data="ada's")
    registry_driver.train("knn", data="ada's")
    assert len(comparison.compare("recommender", CONFIG).groups[0].rows) == 2


def test_runs_of_another_registered_model_are_left_out(four):
    run_id = four.train("als-reverse")
    four.client.log_param(run_id, "model.registered_name", "recommender-reverse")
    rows = comparison.compare("recommender", CONFIG).groups[1].rows
    assert "als-reverse" not in {row.algorithm for row in rows}


def test_a_version_without_a_run_is_shown_without_figures(four):
    four.client.create_model_version("recommender", str(four.folder), tags={"algorithm": "gone"})
    found = comparison.compare("recommender", CONFIG)
    (row,) = found.groups[0].rows
    assert (row.algorithm, row.metrics, row.difference) == ("gone", {}, None)
    assert "gone" in comparison.as_text(found)


def test_what_ranks_in_place_of_a_composite_is_shown_with_it(registry_driver):
    run_id = registry_driver.train("lambdarank", mean=0.3)
    registry_driver.client.set_tag(run_id, "ranked-by", "all users by knn")
    registry.register(run_id)
    found = comparison.compare("recommender", CONFIG)
    assert "lambdarank (all users by knn)" in comparison.as_text(found)
    assert "ranks all users by knn" in comparison_report.page(found, "")
    assert "lambdarank (all users by knn)" in comparison_report.note(found)
    assert list(comparison.table(found)["ranked_by"]) == ["all users by knn"]
    description = registry_driver.client.get_model_version("recommender", "1").description
    assert "lambdarank (all users by knn) on toy" in description


def test_without_production_there_is_no_difference(registry_driver):
    registry_driver.register()
    found = comparison.compare("recommender", CONFIG)
    assert found.production is None
    assert "nothing is Production" in comparison.as_text(found)


def test_a_registry_without_versions_is_refused(registry_driver):
    registry_driver.client.create_registered_model("recommender")
    with pytest.raises(RegistryError, match="'recommender': it has no versions to compare"):
        comparison.compare("recommender", CONFIG)


def test_the_text_lines_up(four):
    lines = comparison.as_text(comparison.compare("recommender", CONFIG)).splitlines()
    start = lines.index("toy, split temporal, fingerprint f0")
    head, *rows = lines[start + 1 : start + 5]
    column = head.index("ndcg_at_10") + len("ndcg_at_10")
    assert [row[:column].split()[-1] for row in rows] == sorted(
        (row[:column].split()[-1] for row in rows), reverse=True
    )
    assert [row.split()[0] for row in rows] == ["version", "not", "version"]


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.words, self.addresses = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_needs_no_other_file_and_escapes_what_it_shows(four):
    text = comparison_report.page(comparison.compare("recommender", CONFIG), UI)
    reader = Reader()
    reader.feed(text)
    assert sorted(reader.addresses) == sorted(f"{UI}/#/runs/{run_id}" for run_id in four.runs)
    assert "url(" not in text
    assert "<toy>" not in text
    assert "<toy>, split temporal" in reader.words
    tags = [tag for tag, _ in reader.tags]
    assert (tags.count("table"), tags.count("tr")) == (2, 6)
    assert tags.count("svg") == 1
    assert [attributes for tag, attributes in reader.tags if attributes.get("class") == "production"] != []


def test_significant_differences_are_marked(four):
    text = comparison_report.page(comparison.compare("recommender", CONFIG), UI)
    assert text.count('<td class="bad"') == 2
    assert '<td class="good"' not in text


def test_the_winner_is_named_and_marked_in_page_text_and_note(four):
    found = comparison.compare("recommender", CONFIG)
    assert found.groups[1].verdict == "Best by ndcg_at_10: version 2 (als), which is Production."
    registry.set_production("recommender", 1, how="promote", by="ada")
    group = comparison.compare("recommender", CONFIG).groups[1]
    assert group.verdict.startswith("Best by ndcg_at_10: version 2 (als), better than Production by +0.")
    note = comparison_report.note(found)
    assert found.groups[1].verdict in comparison.as_text(found)
    assert found.groups[1].verdict in note
    assert "[version 2](#/models/recommender/versions/2)" in note
    assert f"(#/runs/{four.runs[0]})" in note
    assert comparison_report.page(found, UI).count('<span class="badge good">best</span>') == 2


def test_a_difference_that_may_be_chance_is_called_so(registry_driver):
    registry_driver.register("als", mean=0.4, seed=1)
    registry_driver.register("knn", mean=0.4005, seed=2)
    numbers = [row.version for row in comparison.compare("recommender", CONFIG).groups[0].rows]
    registry.set_production("recommender", numbers[1], how="promote", by="ada")
    verdict = comparison.compare("recommender", CONFIG).groups[0].verdict
    assert f"version {numbers[0]} " in verdict
    assert "It is not shown to be better than Production: the difference is " in verdict


def test_targets_of_the_catalogue_are_shown_with_the_figures(registry_driver):
    registry_driver.register("als", metrics={"gini_at_10": 0.25, "novelty_share_at_10": 0.1})
    text = comparison_report.page(comparison.compare("recommender", CONFIG), UI)
    assert "gini at 10, below 0.3" in text
    assert "novelty share at 10, above 0.2" in text
    assert '<small class="good">met</small>' in text
    assert '<small class="faint">not met</small>' in text


def test_features_of_two_models_stand_side_by_side(registry_driver):
    for algorithm, shares in (("lambdarank", {"als_score": 0.6, "age": 0.4}), ("lambdarank-all", {"als_score": 1.0})):
        registry_driver.register(algorithm, seed=len(algorithm))
        rows = pd.DataFrame({"feature": list(shares), "gain": list(shares.values())})
        tracking.log_table(registry_driver.runs[-1], tracking.FEATURES, rows)
    registry_driver.register("als", seed=3)
    text = comparison_report.page(comparison.compare("recommender", CONFIG), UI)
    reader = Reader()
    reader.feed(text[text.index("What the features weigh") :])
    words = [word.strip() for word in reader.words if word.strip()]
    assert words[words.index("age") :][:2] == ["age", "40.0 %"]
    assert words[words.index("als_score") + 1] in ("60.0 %", "100.0 %")
    assert sum(tag == "th" for tag, _ in reader.tags) == 3


def test_the_step_logs_page_and_csv_and_returns_the_table(four):
    result = compare.run(compare.settings_from(["--promotion.bootstrap", "300"]))
    assert (result.production, result.best) == (2, 3)
    frame = pd.read_csv(io.StringIO(mlflow.artifacts.load_text(f"runs:/{result.run_id}/comparison.csv")))
    assert frame["version"].tolist()[:2] == [3, 2]
    assert len(frame) == len(result.rows) == 4
    assert mlflow.artifacts.load_text(f"runs:/{result.run_id}/comparison.html").startswith("<!doctype html>")
    assert four.client.get_run(result.run_id).info.status == "FINISHED"
    assert "NaN" not in json.dumps(plain(result))
