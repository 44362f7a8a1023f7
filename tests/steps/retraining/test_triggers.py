"""When a retraining is due: each trigger alone, from facts."""

from __future__ import annotations

import numpy as np
import pytest

from recstage.config import check
from recstage.config.retraining import (
    DriftTrigger,
    InteractionsTrigger,
    QualityTrigger,
    RetrainingConfig,
    ScheduleTrigger,
    Triggers,
)
from recstage.data.snapshots.activity import Activity, Window
from recstage.errors import ConfigError
from recstage.steps.retraining.triggers import A_DAY_MS, Facts, item_drift, judge

NOW = 1_800_000_000_000
NONE = {"schedule": None, "interactions": None, "quality": None, "drift": None}


def fired(facts: Facts, *, asked: bool = False, **triggers) -> tuple[bool, str]:
    (found,) = judge(facts, Triggers(**{**NONE, **triggers}), asked=asked)
    return found.fired, found.says


def facts(days: float | None = 1, activity: Activity | None = None, until: int | None = 100) -> Facts:
    trained_at = None if days is None else NOW - int(days * A_DAY_MS)
    return Facts(NOW, trained_at, until, activity)


def windows(*click_through: float, shown: int = 200) -> Activity:
    """The newest first."""
    found = tuple(Window(age, shown, round(shown * rate)) for age, rate in enumerate(click_through))
    return Activity(1000, 1000, windows=found)


@pytest.mark.parametrize(("days", "due"), [(None, True), (6.9, False), (7.1, True)])
def test_a_week_after_the_last_training_it_is_due(days, due):
    assert fired(facts(days), schedule=ScheduleTrigger())[0] == due


def test_a_training_in_the_future_is_told_as_a_wrong_clock_and_judged_by_the_others():
    assert fired(facts(-2), schedule=ScheduleTrigger()) == (
        False,
        "the last training lies 2.0 days in the future: a clock is wrong, the schedule is not judged",
    )


@pytest.mark.parametrize(("now", "then", "due"), [(199, 100, False), (200, 100, True), (5, 0, True), (0, 0, False)])
def test_twice_as_many_interactions_make_it_due(now, then, due):
    assert fired(facts(activity=Activity(now, then)), interactions=InteractionsTrigger())[0] == due


def test_without_an_earlier_training_growth_and_drift_say_nothing():
    for name, trigger in (("interactions", InteractionsTrigger()), ("drift", DriftTrigger())):
        assert not fired(facts(activity=Activity(10, 0), until=None), **{name: trigger})[0]


@pytest.mark.parametrize(
    ("rates", "due"),
    [((0.01, 0.01, 0.01, 0.2), True), ((0.01, 0.2, 0.01, 0.2), False), ((0.01, 0.01, 0.2, 0.2, 0.01), False)],
)
def test_three_of_the_last_four_windows_below_the_line_make_it_due(rates, due):
    assert fired(facts(activity=windows(*rates)), quality=QualityTrigger(line=0.05))[0] == due


def test_without_a_line_it_is_a_share_of_what_was_before():
    low = windows(0.07, 0.07, 0.07, 0.07, 0.1, 0.1)
    due, says = fired(facts(activity=low), quality=QualityTrigger())
    assert due
    assert "below 0.8 x 10.0% before" in says
    assert not fired(facts(activity=windows(0.09, 0.09, 0.09, 0.09, 0.1)), quality=QualityTrigger())[0]
    assert "no earlier windows" in fired(facts(activity=windows(0.1, 0.1, 0.1, 0.1)), quality=QualityTrigger())[1]


def test_missing_windows_and_windows_with_few_lists_say_nothing():
    for activity in (windows(0.0, 0.0), windows(0.0, 0.0, 0.0, 0.0, shown=20), None):
        due, says = fired(facts(activity=activity), quality=QualityTrigger(line=0.05))
        assert not due
        assert "too few to judge" in says


def test_other_items_or_other_types_than_before_are_drift():
    same = {f"i{i}": (100, 50) for i in range(20)}
    new = same | {f"n{i}": (0, 50) for i in range(20)}
    types = {"click": (1800, 900), "save": (200, 100)}
    assert not fired(facts(activity=Activity(0, 0, same, types)), drift=DriftTrigger())[0]
    due, says = fired(facts(activity=Activity(0, 0, new, types)), drift=DriftTrigger())
    assert due
    assert says.startswith("stability index of items")
    other = {"click": (1800, 100), "save": (200, 900)}
    assert "of types" in fired(facts(activity=Activity(0, 0, same, other)), drift=DriftTrigger())[1]


def test_few_events_since_are_no_drift():
    few = Activity(0, 0, {"old": (1000, 0), "new": (0, 50)}, {"click": (1000, 50)})
    assert fired(facts(activity=few), drift=DriftTrigger()) == (
        False,
        "50 events since the last training, 200 are needed",
    )


def test_chance_among_many_items_with_few_events_is_no_drift():
    random = np.random.default_rng(5)
    items = {f"i{i}": (int(random.poisson(20)), int(random.poisson(2))) for i in range(500)}
    assert item_drift(items) < 0.05


def test_asked_for_is_a_reason_of_its_own():
    assert fired(facts(), asked=True) == (True, "asked for")


def test_a_trigger_that_can_never_fire_or_a_misspelt_one_is_refused():
    with pytest.raises(ConfigError, match="below = 5 of 4 windows can never be"):
        check(RetrainingConfig, {"triggers": {"quality": {"below": 5}}}, "conf/retraining.yaml")
    with pytest.raises(ConfigError, match="triggers.sched: no such setting"):
        check(RetrainingConfig, {"triggers": {"sched": {"days": 1}}}, "conf/retraining.yaml")
