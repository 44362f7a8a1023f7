"""The gate's questions, one at a time; answers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from recstage.config import GuardrailConfig, PromotionConfig
from recstage.errors import ConfigError
from recstage.evaluation.latency import Latency
from recstage.promotion.gate import Evidence, Verdict, compare, judge

CONFIG = PromotionConfig(bootstrap=500)


def evidence(
    values: list[float] | np.ndarray,
    *,
    label: str = "version 1 (als)",
    algorithm: str = "als",
    segments: list[str] | None = None,
    users: list[str] | None = None,
    coverage: float | None = 0.2,
    latency: Latency | float | None = 5.0,
) -> Evidence:
    n = len(values)
    metrics = {} if coverage is None else {"coverage_at_10": coverage}
    per_user = pd.DataFrame(
        {
            "user_id": users if users is not None else [f"u{i}" for i in range(n)],
            "segment": segments if segments is not None else ["warm"] * n,
            "n_train": 8,
            "ndcg_at_10": values,
        }
    )
    timed = Latency(latency, latency, 5) if isinstance(latency, float) else latency
    return Evidence(label, algorithm, metrics, per_user, timed)


def outcomes(verdict: Verdict) -> dict[str, str]:
    return {check.name: check.outcome for check in verdict.checks}


OLD = np.tile([0.2, 0.4], 100)


def test_a_gain_for_every_user_passes():
    verdict = judge(evidence(OLD + 0.1), evidence(OLD, label="version 3 (knn)"), CONFIG)
    assert verdict.passed
    assert verdict.reasons == []
    assert verdict.against == "version 3 (knn)"
    assert verdict.paired is not None
    assert verdict.paired.difference == pytest.approx(0.1)
    assert outcomes(verdict) == {"ndcg_at_10": "passed", "coverage": "passed", "warm": "passed", "latency": "passed"}


def test_the_same_lists_are_no_gain():
    verdict = judge(evidence(OLD), evidence(OLD), CONFIG)
    assert not verdict.passed
    assert verdict.reasons == [
        "ndcg_at_10 0.3000 against 0.3000 of version 1 (als): +0.0000 [+0.0000, +0.0000], p = 1.0000 over 200 users, "
        "no significant gain (p < 0.05 is asked for)"
    ]


def test_a_gain_that_chance_explains_is_refused():
    noise = np.random.default_rng(0).normal(0.001, 0.3, 200)
    verdict = judge(evidence(OLD + noise), evidence(OLD), CONFIG)
    assert outcomes(verdict)["ndcg_at_10"] == "failed"


def test_a_loss_is_refused_however_significant():
    assert not judge(evidence(OLD - 0.1), evidence(OLD), CONFIG).passed


@pytest.mark.parametrize(("loss", "passes"), [(0.0, True), (0.009, True), (0.011, False)])
def test_without_a_required_gain_the_margin_is_tolerated_and_no_more(loss, passes):
    config = PromotionConfig(require_gain=False, margin=0.01, bootstrap=500)
    verdict = judge(evidence(OLD - loss), evidence(OLD), config)
    assert verdict.passed is passes
    assert (f"{'not' if passes else 'may be'} worse by more than 0.01") in verdict.checks[0].message


def test_half_of_the_coverage_is_the_least():
    gain = OLD + 0.1
    assert judge(evidence(gain, coverage=0.10), evidence(OLD, coverage=0.2), CONFIG).passed
    verdict = judge(evidence(gain, coverage=0.09), evidence(OLD, coverage=0.2), CONFIG)
    assert verdict.reasons == ["coverage_at_10 0.0900, less than 0.5 x 0.2000"]


def test_what_was_not_measured_is_not_judged():
    verdict = judge(evidence(OLD + 0.1, coverage=None, latency=None), evidence(OLD), CONFIG)
    assert verdict.passed
    assert (outcomes(verdict)["coverage"], outcomes(verdict)["latency"]) == ("not judged", "not judged")


def test_a_slow_model_is_refused():
    verdict = judge(evidence(OLD + 0.1, latency=100.5), evidence(OLD), CONFIG)
    assert verdict.reasons == ["latency p95 100.5 ms (best of 5 rounds) against 5.0 ms of Production, over 100 ms"]


def test_a_slow_model_is_refused_as_the_first_and_beside_a_production_that_was_not_timed():
    reason = "latency p95 100.5 ms (best of 5 rounds), over 100 ms"
    assert judge(evidence(OLD, latency=100.5), None, CONFIG).reasons == [reason]
    assert judge(evidence(OLD + 0.1, latency=100.5), evidence(OLD, latency=None), CONFIG).reasons == [reason]


def test_a_latency_at_the_limit_passes_however_fast_production_is():
    verdict = judge(evidence(OLD + 0.1, latency=100.0), evidence(OLD, latency=0.1), CONFIG)
    assert outcomes(verdict)["latency"] == "passed"


@pytest.mark.parametrize(("ours", "outcome"), [(600.0, "noted"), (601.0, "failed")])
def test_beyond_the_limit_production_in_the_same_rounds_is_the_measure(ours, outcome):
    verdict = judge(evidence(OLD + 0.1, latency=ours), evidence(OLD, latency=400.0), CONFIG)
    assert outcomes(verdict)["latency"] == outcome
    assert verdict.passed is (outcome == "noted")


@pytest.mark.parametrize("champion", [None, evidence(OLD, label="version 3 (popularity)", latency=1.0)])
def test_waiting_for_a_busy_machine_refuses_nobody(champion):
    verdict = judge(evidence(OLD + 0.1, latency=Latency(115.8, 31.0, 5)), champion, CONFIG)
    assert verdict.passed
    assert outcomes(verdict)["latency"] == "noted"
    assert verdict.checks[-1].message.endswith("over 100 ms, 31.0 ms of it computing: a busy machine")


def test_a_slow_model_is_refused_on_a_busy_machine_too():
    verdict = judge(evidence(OLD + 0.1, latency=Latency(700.0, 100.1, 5)), evidence(OLD, latency=20.0), CONFIG)
    assert outcomes(verdict)["latency"] == "failed"


SEGMENTS = ["cold"] * 50 + ["warm"] * 100 + ["hot"] * 50


def test_a_gain_paid_for_by_the_cold_is_refused():
    change = np.r_[np.full(50, -0.05), np.full(150, 0.1)]
    verdict = judge(evidence(OLD + change, segments=SEGMENTS), evidence(OLD, segments=SEGMENTS), CONFIG)
    assert outcomes(verdict) == {
        "ndcg_at_10": "passed",
        "coverage": "passed",
        "cold": "failed",
        "warm": "passed",
        "hot": "passed",
        "latency": "passed",
    }
    (reason,) = verdict.reasons
    assert reason.startswith("cold: ndcg_at_10 -16.7% (-0.0500")
    assert reason.endswith("over 50 users), a loss of more than 10%")


def test_a_loss_within_the_limit_passes():
    change = np.r_[np.full(50, -0.02), np.full(150, 0.1)]
    assert judge(evidence(OLD + change, segments=SEGMENTS), evidence(OLD, segments=SEGMENTS), CONFIG).passed


def test_a_loss_that_chance_explains_is_noted():
    cold = np.zeros(50)
    cold[0] = -1.9  # one user's misfortune
    change = np.r_[cold, np.full(150, 0.1)]
    verdict = judge(evidence(OLD + change, segments=SEGMENTS), evidence(OLD, segments=SEGMENTS), CONFIG)
    assert verdict.passed
    assert outcomes(verdict)["cold"] == "noted"


def test_a_segment_of_few_is_not_judged():
    config = PromotionConfig(bootstrap=500, guardrails=GuardrailConfig(segment_users=51))
    change = np.r_[np.full(50, -0.05), np.full(150, 0.1)]
    verdict = judge(evidence(OLD + change, segments=SEGMENTS), evidence(OLD, segments=SEGMENTS), config)
    assert outcomes(verdict)["cold"] == outcomes(verdict)["hot"] == "not judged"
    assert verdict.passed


def test_users_are_paired_by_id_whatever_their_order():
    users = [f"u{i}" for i in range(200)]
    backwards = evidence(OLD[::-1] + 0.1, users=users[::-1])
    verdict = judge(backwards, evidence(OLD, users=users), CONFIG)
    assert verdict.paired is not None
    assert (verdict.paired.low, verdict.paired.high) == pytest.approx((0.1, 0.1))


def test_only_common_users_with_values_count():
    ours = OLD + 0.1
    ours[0] = np.nan
    verdict = judge(evidence(ours), evidence(OLD[:100]), CONFIG)
    assert "over 99 users" in verdict.checks[0].message


def test_without_a_common_user_it_is_refused():
    verdict = judge(evidence(OLD), evidence(OLD, label="version 2 (knn)", users=[f"x{i}" for i in range(200)]), CONFIG)
    assert verdict.reasons == ["version 1 (als) and version 2 (knn) have no test user in common"]


def test_a_model_that_finds_nothing_is_refused_even_as_the_first():
    verdict = judge(evidence(np.zeros(200)), None, CONFIG)
    assert verdict.reasons == ["ndcg_at_10 of version 1 (als) is not above 0"]
    assert not judge(evidence(np.full(200, np.nan)), None, CONFIG).passed


def test_the_first_production_needs_no_champion():
    verdict = judge(evidence(OLD), None, CONFIG)
    assert verdict.passed
    assert outcomes(verdict) == {"ndcg_at_10": "not judged", "latency": "passed"}
    assert verdict.against == ""


def test_the_first_production_must_beat_popularity_where_that_was_measured():
    baseline = evidence(OLD, label="run 7 (popularity)", algorithm="popularity")
    assert judge(evidence(OLD + 0.1), None, CONFIG, baseline=baseline).passed
    verdict = judge(evidence(OLD - 0.1), None, CONFIG, baseline=baseline)
    assert not verdict.passed
    assert verdict.against == "run 7 (popularity)"


def test_popularity_itself_may_be_the_first():
    baseline = evidence(OLD, algorithm="popularity")
    verdict = judge(evidence(OLD, algorithm="popularity"), None, CONFIG, baseline=baseline)
    assert verdict.passed
    assert "the first Production, and it is the baseline itself" in str(verdict.checks[0])


def test_the_floor_does_not_matter_once_there_is_a_champion():
    verdict = judge(evidence(OLD + 0.1), evidence(OLD, label="c"), CONFIG, baseline=evidence(OLD + 0.5, label="f"))
    assert verdict.passed
    assert verdict.against == "c"


@pytest.mark.parametrize("metric", ["ndcg_at_1O", "n_train"])
def test_a_metric_that_users_do_not_have_is_refused_with_those_they_have(metric):
    config = PromotionConfig(metric=metric)
    with pytest.raises(ConfigError, match=rf"promotion\.metric = '{metric}'.*Valid names: ndcg_at_10"):
        judge(evidence(OLD), None, config)


def test_a_verdict_fits_a_tag():
    verdict = judge(evidence(OLD + 0.1, segments=SEGMENTS), evidence(OLD, segments=SEGMENTS), CONFIG)
    assert len(json.dumps(verdict.as_dict())) < 5000


def test_the_difference_of_two_versions_is_ours_less_theirs():
    paired = compare(evidence(OLD + 0.1), evidence(OLD), CONFIG)
    assert paired is not None
    assert paired.difference == pytest.approx(0.1)
    assert compare(evidence(OLD), evidence(OLD, users=[f"x{i}" for i in range(200)]), CONFIG) is None


def test_false_alarms_are_as_rare_as_alpha_says():
    """A challenger that is no better passes in about alpha / 2 of the cases."""
    rng = np.random.default_rng(1)
    passed = 0
    for _ in range(100):
        old = rng.uniform(0, 1, 60)
        passed += judge(evidence(old + rng.normal(0, 0.2, 60)), evidence(old), PromotionConfig(bootstrap=200)).passed
    assert passed <= 9
