"""The further questions of the gate, one at a time; answers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recstage.config import GuardrailConfig
from recstage.data.interactions import Interactions
from recstage.evaluation.significance import Paired
from recstage.models.baselines.popularity import Popularity
from recstage.promotion import guardrails
from recstage.promotion.behaviour import Behaviour
from recstage.promotion.guardrails import Measured, StageGain, checks
from recstage.promotion.measures import (
    ListMeasures,
    calibration_error,
    expected_calibration_error,
    list_measures,
    most_popular,
)

LIMITS = GuardrailConfig()
OURS = Measured({"gini_at_10": 0.5, "coverage_at_10": 0.3}, ListMeasures(0.2, 0.6), bundle_bytes=1_000_000)


def outcomes(ours: Measured, theirs: Measured | None = None, require: str = "", **limits) -> dict[str, str]:
    found = checks(ours, theirs, LIMITS.model_copy(update=limits), require)
    return {one.name: one.outcome for one in found}


def test_the_same_as_production_is_within_every_bound():
    assert outcomes(OURS, OURS) == {
        "Gini": "passed",
        "popularity share": "passed",
        "diversity": "passed",
        "bundle size": "passed",
    }


@pytest.mark.parametrize(
    ("worse", "name"),
    [
        ({"metrics": {"gini_at_10": 0.61}}, "Gini"),
        ({"lists": ListMeasures(0.41, 0.6)}, "popularity share"),
        ({"lists": ListMeasures(0.2, 0.41)}, "diversity"),
        ({"bundle_bytes": 5_000_000_000}, "bundle size"),
        ({"metrics": {"index_recall": 0.96}}, "index"),
        ({"calibration": 0.3}, "calibration"),
        ({"behaviours": (Behaviour("seen items", False, "two came back"),)}, "seen items"),
    ],
)
def test_each_bound_refuses_alone(worse, name):
    found = outcomes(replace(OURS, **worse), OURS)
    assert [one for one, outcome in found.items() if outcome == "failed"] == [name]


def test_absolute_bounds_hold_for_the_first_production_too():
    found = outcomes(OURS, None, coverage_least=0.4, gini_most=0.4, popularity_most=0.1, diversity_least=0.7)
    assert found == {
        "coverage (absolute)": "failed",
        "Gini (absolute)": "failed",
        "popularity share (absolute)": "failed",
        "diversity (absolute)": "failed",
        "bundle size": "passed",
    }


def test_an_index_that_finds_enough_passes_and_exact_search_is_not_asked():
    assert outcomes(replace(OURS, metrics={"index_recall": 0.98}))["index"] == "passed"
    assert "index" not in outcomes(OURS)


GAINS = [(0.01, 0.01, "passed"), (0.01, 0.3, "noted"), (0.0, 1.0, "failed")]


@pytest.mark.parametrize(("difference", "p", "outcome"), GAINS)
def test_a_second_stage_must_gain_over_its_first(difference, p, outcome):
    gain = StageGain("als", "ndcg_at_10", Paired(difference, difference - 0.01, difference + 0.01, p))
    assert outcomes(replace(OURS, stage_gain=gain))["second stage"] == outcome


@pytest.mark.parametrize(
    ("tags", "outcome", "says"),
    [
        ({}, "failed", "no experiment was read"),
        ({"experiment.verdict": "better", "experiment.summary": "+3 % clicks"}, "passed", "says better: +3 % clicks"),
        (
            {"experiment.verdict": "undecided", "experiment.summary": "9 days still"},
            "failed",
            "undecided: 9 days still",
        ),
        ({"experiment.verdict": "not-better"}, "failed", "not-better"),
        ({"experiment.verdict": "invalid"}, "failed", "invalid"),
        ({"experiment.verdict": "good"}, "failed", "none of better, not-better"),
    ],
)
def test_where_an_experiment_is_asked_for_only_a_better_verdict_passes(tags, outcome, says):
    (found,) = [one for one in checks(replace(OURS, tags=tags), None, LIMITS, "ab") if one.name == "experiment"]
    assert found.outcome == outcome
    assert says in found.message
    assert "experiment" not in outcomes(OURS)


def test_promises_that_could_not_be_tried_refuse_nothing():
    untried = replace(OURS, behaviours=(Behaviour("seen items", None, "no users"),))
    assert outcomes(untried)["seen items"] == "not judged"


def test_the_calibration_error_of_a_hand_made_example():
    # said .95 of which half happened, said .05 of which none: 2 x |.95 - .5| + 2 x .05, over 4 rows
    probability, happened = np.array([0.95, 0.95, 0.05, 0.05]), np.array([True, False, False, False])
    assert expected_calibration_error(probability, happened) == pytest.approx((0.9 + 0.1) / 4)


def test_a_model_without_probabilities_is_not_judged_by_them():
    rows = pd.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": [1, 2]})
    train = Interactions.from_frame(rows)
    assert calibration_error(Popularity().fit(train), train) is None


def test_the_share_of_the_most_popular_is_that_of_places_in_lists():
    rows = [(f"u{u}", f"i{i}", u) for u in range(20) for i in range(100) if i == 0 or (u + i) % 10 == 0]
    train = Interactions.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]))
    model = Popularity().fit(train)
    assert most_popular(train).tolist() == [0]
    unknown = ["none"]
    assert list_measures(model, unknown, model).popularity_share == pytest.approx(0.1)  # one of ten places
    assert list_measures(model, ["u1"], model).popularity_share == 0  # it is in every history
    assert guardrails.COVERAGE == "coverage_at_10"
