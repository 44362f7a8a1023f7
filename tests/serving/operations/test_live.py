"""Live figures: quantiles of histograms, differences of counters, and what the alerts make of them."""

from __future__ import annotations

import math
import re

import pytest
import yaml

from recstage.config import root
from serving.monitoring.metrics import Metrics
from serving.operations import alerts, live
from serving.operations.alerts import alerts_of
from serving.operations.live import LISTS, LiveFigures, LiveMetrics, Reading, quantile, reading_of

INF = math.inf


def figures(**values) -> LiveFigures:
    known = dict.fromkeys(("lists", "failed", "cache_hits", "cache_misses", "events"), 0)
    empty = {name: {} for name in ("methods", "fallbacks", "refused")}
    return LiveFigures(**{"seconds": 300.0, "p50": 1.0, "p95": 2.0, "p99": 3.0, **known, **empty, **values})


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({1.0: 10, 2.0: 20, INF: 20}, 0.5, 1.0),
        ({1.0: 10, 2.0: 20, INF: 20}, 0.75, 1.5),
        ({1.0: 10, 2.0: 20, INF: 20}, 0.25, 0.5),
        ({1.0: 0, 2.0: 20, INF: 20}, 0.5, 1.5),
        ({1.0: 10, INF: 20}, 0.99, 1.0),
        ({1.0: 0, INF: 0}, 0.5, None),
        ({}, 0.5, None),
    ],
)
def test_a_quantile_is_interpolated_within_its_bucket(buckets, share, expected):
    assert quantile(buckets, share) == expected


def test_a_window_is_the_difference_of_two_readings_and_a_counter_that_fell_counts_anew():
    before = Reading(10.0, {("methods", "als"): 5.0, ("methods", "knn"): 9.0}, {1.0: 4.0})
    after = Reading(20.0, {("methods", "als"): 8.0, ("methods", "knn"): 2.0, ("methods", "new"): 1.0}, {1.0: 6.0})
    window = after.since(before)
    assert window.by_label("methods") == {"als": 3, "knn": 2, "new": 1}
    assert window.buckets == {1.0: 2.0}


def test_figures_are_read_from_the_metrics(monkeypatch):
    monkeypatch.setattr(live, "PAUSE_SECONDS", 0.0)
    metrics = Metrics()
    shown = LiveMetrics(metrics)
    for _ in range(3):
        metrics.count_recommendation("als")
        metrics.observe_request(LISTS, "GET", 200, 0.0015)
    metrics.observe_request("/api/predict", "POST", 500, 0.1)
    metrics.cache_hits.inc()
    metrics.events.labels("click", "stored").inc(4)
    metrics.events.labels("click", "ignored").inc(2)
    found, points = shown.figures()
    assert (found.lists, found.methods, found.failed) == (3, {"als": 3}, 1)
    assert (found.cache_hits, found.cache_misses, found.events) == (1, 0, 4)
    assert found.p50 == pytest.approx(1.5)
    assert points == []
    metrics.count_recommendation("popularity")
    found, points = shown.figures()
    assert found.methods == {"popularity": 1}  # since the first reading
    assert len(points) == 1
    assert points[0].rate > 0


def test_labels_are_read_as_they_are_written():
    metrics = Metrics()
    metrics.count_recommendation('hybrid:"als"\nx')
    reading = reading_of(metrics.render().decode(), 1.0)
    assert reading.by_label("methods") == {'hybrid:"als"\nx': 1}


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"lists": 100, "failed": 2}, "RequestsFail"),
        ({"lists": 100, "p99": 51.0}, "RecommendationsSlow"),
        ({"lists": 100, "fallbacks": {"no-history": 6}}, "AnsweredByFallbacks"),
        ({"lists": 100, "methods": {"popularity": 51, "als": 49}}, "MostlyPopularity"),
        ({"refused": {"overloaded": 1}}, "LoadIsShed"),
    ],
)
def test_an_alert_arises_above_its_threshold(values, name):
    assert [one.name for one in alerts_of(figures(**values))] == [name]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"lists": 100, "failed": 1, "p99": 50.0, "methods": {"popularity": 50}, "fallbacks": {"no-history": 5}},
        {"lists": 49, "p99": 900.0, "methods": {"popularity": 49}},
        {"lists": 100, "fallbacks": {"strategy": 100}},
    ],
    ids=["nothing", "at the thresholds", "too few lists", "what was asked for"],
)
def test_no_alert_arises(values):
    assert alerts_of(figures(**values)) == []


@pytest.mark.parametrize(
    ("name", "threshold"),
    [
        ("RequestsFail", alerts.FAILED),
        ("RecommendationsSlow", alerts.P99_MS / 1000),
        ("AnsweredByFallbacks", alerts.FALLBACKS),
        ("MostlyPopularity", alerts.POPULARITY),
        ("LoadIsShed", 0),
    ],
)
def test_the_thresholds_are_those_of_the_alert_rules(name, threshold):
    rules = yaml.safe_load((root() / "conf" / "monitoring" / "alerts.yml").read_text())["groups"][0]["rules"]
    expression = next(rule["expr"] for rule in rules if rule["alert"] == name)
    assert float(re.search(r"> ([0-9.]+)\s*$", expression.strip())[1]) == threshold
