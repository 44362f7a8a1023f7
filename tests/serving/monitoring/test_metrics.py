"""Metrics: renamed ones are exposed under both names, without counting anything twice."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from serving.monitoring.metrics import OLD_METRICS, Metrics


def samples(metrics: Metrics, name: str) -> list[tuple[dict[str, str], float]]:
    families = text_string_to_metric_families(metrics.render().decode())
    return [(one.labels, one.value) for family in families for one in family.samples if one.name == name]


def test_a_renamed_metric_is_exposed_under_both_names():
    metrics = Metrics()
    metrics.count_recommendation("als")
    metrics.model_swaps.labels("recommender", "done").inc(2)
    metrics.registry_age.labels("recommender").set(5)
    for new, old, value in (
        ("recstage_recommendations_total", "recstage_answers_total", 1),
        ("recstage_model_swaps_total", "recstage_swaps_total", 2),
        ("recstage_registry_poll_age_seconds", "recstage_registry_look_age_seconds", 5),
    ):
        assert samples(metrics, new) == samples(metrics, old)
        assert [value for _, value in samples(metrics, old)] == [value]


def test_a_renamed_label_is_in_the_same_sample_so_that_sums_stay_right():
    metrics = Metrics()
    metrics.fallbacks.labels("strategy").inc(3)
    assert samples(metrics, "recstage_fallbacks_total") == [({"reason": "strategy", "why": "strategy"}, 3.0)]


def test_an_old_name_says_what_to_use_instead():
    text = Metrics().render().decode()
    for new, old in OLD_METRICS.items():
        assert any(line.startswith(f"# HELP {old}") and f"Deprecated, now {new}" in line for line in text.splitlines())
