"""History and the way back."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from recstage import registry
from recstage.registry import audit_log, mlflow_client
from recstage.registry.audit_log import Change

pytestmark = pytest.mark.slow


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def change(version: int | None, how: str = "promote", seconds: int = 0, previous: int | None = None) -> Change:
    return Change(version, previous, 1000 * seconds, "ada", how)  # type: ignore[arg-type]


def test_what_was_production_at_a_time():
    past = [change(1, seconds=10), change(2, seconds=20), change(None, "unset", 30)]
    found = [registry.production_at(at(seconds), past) for seconds in (9, 10, 19, 20, 31)]
    assert [None if one is None else one.version for one in found] == [None, 1, 1, 2, None]
    assert found[0] is None
    assert found[-1] == past[-1]


@pytest.mark.parametrize(
    ("past", "leads_to"),
    [
        ([(1, "promote"), (2, "promote"), (3, "promote")], 2),
        ([(1, "promote"), (2, "promote"), (3, "promote"), (2, "rollback")], 1),
        ([(1, "promote"), (2, "promote"), (3, "promote"), (2, "stage")], 1),
        ([(1, "promote"), (2, "promote"), (3, "promote"), (2, "alias")], 1),
        ([(1, "promote"), (2, "promote"), (1, "promote")], 2),
        ([(1, "promote"), (2, "promote"), (3, "promote"), (1, "rollback"), (4, "promote")], 1),
        ([(1, "promote"), (2, "promote"), (4, "rollback")], 2),
        ([(1, "promote"), (2, "promote"), (None, "unset")], 2),
        ([(1, "promote"), (2, "promote"), (3, "promote"), (2, "deleted")], 1),
        ([(1, "promote")], None),
        ([], None),
    ],
)
def test_a_rollback_goes_one_further_back_each_time(past, leads_to):
    made = [change(version, how, seconds) for seconds, (version, how) in enumerate(past)]
    current = made[-1].version if made else None
    assert registry.predecessor(made, current, {1, 2, 3, 4}) == leads_to


def test_a_rollback_steps_over_what_was_deleted():
    past = [change(version, seconds=version) for version in (1, 2, 3)]
    assert registry.predecessor(past, 3, {1, 3}) == 1
    assert registry.predecessor(past, 3, {3}) is None


def test_history_survives_the_deletion_of_its_versions(registry_driver):
    for _ in range(3):
        registry_driver.add()
        registry.set_production("recommender", len(registry_driver.stages), how="promote", by="ada")
    registry_driver.delete(1)
    registry_driver.delete(2)
    assert [one.version for one in registry.history()] == [1, 2, 3]


def test_a_version_promoted_again_keeps_all_its_promotions(registry_driver):
    for _ in range(2):
        registry_driver.add()
    for number, reason in ((1, "first"), (2, "better"), (1, "back again")):
        registry.set_production("recommender", number, how="promote", by="ada", reason=reason)
    assert [(one.version, one.reason) for one in registry.history()] == [(1, "first"), (2, "better"), (1, "back again")]
    assert registry_driver.tags(1)["reason"] == "back again"


def test_a_long_reason_is_cut_to_what_a_tag_holds(registry_driver):
    registry_driver.add()
    registry.set_production("recommender", 1, how="promote", by="ada", reason="why not? " * 1000)
    (only,) = registry.history()
    assert len(only.reason) == audit_log.LONGEST_REASON
    assert only.reason.endswith("…")
    assert all(len(value) <= mlflow_client.LONGEST_TAG for value in mlflow_client.peek("recommender").tags.values())


def test_a_clock_that_went_back_does_not_turn_history_round(registry_driver, monkeypatch):
    registry_driver.add()
    registry.set_production("recommender", 1, how="promote", by="ada")
    (first,) = registry.history()
    audit_log.record("recommender", change(2, seconds=1), [first])
    assert [(one.version, one.at) for one in registry.history()] == [(1, first.at), (2, first.at + 1)]


def test_the_same_gesture_recorded_by_two_machines_is_one_change(registry_driver):
    registry_driver.add()
    for seconds in (5, 6):
        audit_log.record("recommender", change(1, "stage", seconds), [])
    assert [one.at for one in registry.history()] == [5000]


@pytest.mark.parametrize("value", ["", "[]", '{"version": 1}', '{"version": "x", "previous": null, "at": 1}'])
def test_a_tag_that_is_no_change_is_left_out(registry_driver, value):
    registry_driver.add()
    mlflow_client.tag_model("recommender", "production/2026-01-01T00:00:00.000Z/v1", value)
    assert registry.history() == []


def test_an_unset_production_that_version_0_1_recorded_as_withdrawn_is_read():
    old = {"version": None, "previous": 1, "at": 10_000, "by": "MLflow UI (stage)", "how": "withdrawn", "reason": ""}
    tags = {"production/1970-01-01T00:00:10.000Z/none": json.dumps(old)}
    assert [one.how for one in audit_log.read_from(tags)] == ["unset"]
