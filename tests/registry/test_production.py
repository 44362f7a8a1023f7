"""Stage, alias and record: what each change leads to."""

from __future__ import annotations

import json
import re
import time
import warnings

import pytest

from recstage import registry
from recstage.config import root
from recstage.errors import NoProduction, RegistryError
from recstage.registry import mlflow_client

pytestmark = pytest.mark.slow


def current(name: str = "recommender") -> int | None:
    version = registry.resolve(name).version
    return None if version is None else version.number


def promote(number: int, how: str = "promote", **more: object) -> registry.Resolution:
    return registry.set_production("recommender", number, how=how, by="ada", reason="better", **more)  # type: ignore[arg-type]


def test_an_empty_registry_has_no_production(registry_driver):
    registry_driver.add()
    assert registry.reconcile().version is None
    with pytest.raises(NoProduction, match=r"'recommender': no version is staged Production\. Promote one"):
        registry.production()


def test_an_unknown_registered_model_is_refused_with_the_names_there_are(registry_driver):
    registry_driver.add()
    with pytest.raises(
        RegistryError, match=r"'recomender': there is no such registered model\. Did you mean 'recommen"
    ):
        registry.reconcile("recomender")


def test_a_registry_where_nothing_was_ever_registered_says_what_to_do(registry_driver):
    with pytest.raises(
        RegistryError, match=r"'recommender': there is no such registered model\. Nothing is registered yet: t"
    ):
        registry.production()


def test_two_versions_by_hand_with_the_recorded_one_gone_are_taken_as_the_stage_says(three):
    three.delete(2)
    three.stage(3)
    three.alias(1)
    assert registry.reconcile().conflict == ""
    assert (three.staged, three.pointed) == ([3], 3)


def test_a_move_sets_stage_alias_tags_and_history(registry_driver):
    first, second = registry_driver.add(), registry_driver.add("knn")
    promote(first)
    resolution = promote(second)
    assert resolution.version is not None
    assert resolution.version.number == second
    assert (registry_driver.staged, registry_driver.pointed, registry_driver.stages[first]) == (
        [second],
        second,
        "Archived",
    )
    tags = registry_driver.tags(second)
    assert tags["promoted_by"] == "ada"
    assert tags["previous_version"] == str(first)
    assert tags["reason"] == "better"
    assert tags["promoted_at"].endswith("Z")
    assert [(one.version, one.previous, one.how, one.by) for one in registry.history()] == [
        (first, None, "promote", "ada"),
        (second, first, "promote", "ada"),
    ]


def test_a_move_to_what_is_production_already_records_nothing(registry_driver):
    only = registry_driver.add()
    promote(only)
    assert promote(only).change is None
    assert len(registry.history()) == 1


def test_a_move_to_a_version_that_does_not_exist_names_those_that_do(registry_driver):
    registry_driver.add()
    registry_driver.add()
    with pytest.raises(RegistryError, match=r"version 9 of recommender: there is no such version\. There are 1, 2"):
        promote(9)


def test_a_move_that_expected_another_production_changes_nothing(registry_driver):
    first, second = registry_driver.add(), registry_driver.add()
    promote(first)
    with pytest.raises(registry.Overtaken, match="was nothing when this was decided and is version 1 now"):
        promote(second, expected=None)
    assert registry_driver.staged == [first]


def test_one_module_speaks_of_stages_and_aliases_to_mlflow():
    calls = re.compile(r"transition_model_version_stage\(|registered_model_alias\(|get_latest_versions\(")
    sources = (root() / "src").rglob("*.py")
    assert [path.name for path in sources if calls.search(path.read_text())] == ["mlflow_client.py"]


def test_no_stage_call_of_ours_warns(registry_driver):
    version = registry_driver.add()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        promote(version)
        registry.reconcile()


# -- changes in the UI -------------------------------------------------------------------------------------------


@pytest.fixture
def three(registry_driver):
    """Versions 1, 2, 3 with 2 in Production."""
    for _ in range(3):
        registry_driver.add()
    promote(1)
    promote(2)
    return registry_driver


@pytest.mark.parametrize("archive", [True, False])
def test_a_stage_set_in_the_ui_is_followed_upwards_and_downwards(three, archive):
    for number in (3, 1):
        three.stage(number, archive=archive)
        updated = int(three.client.get_model_version("recommender", str(number)).last_updated_timestamp)
        change = registry.reconcile().change
        assert change is not None
        assert (change.version, change.by, change.how, change.at) == (number, "MLflow UI (stage)", "stage", updated)
        assert (three.staged, three.pointed, current()) == ([number], number, number)
        assert three.tags(number)["promoted_by"] == "MLflow UI (stage)"


def test_an_alias_set_in_the_ui_is_followed(three):
    three.alias(3)
    assert current() == 3
    change = registry.reconcile().change
    assert change is not None
    assert (change.version, change.by, change.previous) == (3, "MLflow UI (alias)", 2)
    assert (three.staged, three.stages[2]) == ([3], "Archived")


def test_stage_and_alias_moved_to_the_same_version_are_one_gesture(three):
    three.stage(3, archive=False)
    three.alias(3)
    registry.reconcile()
    assert (three.staged, three.pointed) == ([3], 3)
    assert [one.version for one in registry.history()] == [1, 2, 3]


def test_of_several_staged_versions_the_one_staged_last_wins(three):
    three.add()
    three.stage(4, archive=False)
    time.sleep(0.005)
    three.stage(3, archive=False)
    registry.reconcile()
    assert three.staged == [3]
    assert registry.history()[-1].reason == "also staged: 4"


def test_of_several_staged_versions_the_one_the_alias_names_wins(three):
    three.add()
    three.stage(4, archive=False)
    three.stage(3, archive=False)
    three.alias(4)
    registry.reconcile()
    assert (three.staged, three.pointed) == ([4], 4)


def test_stage_and_alias_moved_apart_change_nothing_and_are_reported(three, caplog):
    three.stage(3, archive=True)
    three.alias(1)
    for _ in range(3):
        resolution = registry.reconcile()
        assert resolution.version is not None
        assert resolution.version.number == 2
        assert "stage Production moved to 3 and alias production to 1: version 2 stays" in resolution.conflict
        assert registry.resolve() == resolution
    assert (three.staged, three.pointed) == ([3], 1)
    assert three.client.get_registered_model("recommender").tags["production_conflict"] == resolution.conflict
    assert len([one for one in caplog.records if "moved" in one.message]) == 1
    assert len(registry.history()) == 2


def test_a_conflict_ends_when_the_alias_agrees(three):
    three.stage(3)
    three.alias(1)
    registry.reconcile()
    three.alias(3)
    resolution = registry.reconcile()
    assert (resolution.conflict, current(), three.staged, three.pointed) == ("", 3, [3], 3)
    assert "production_conflict" not in three.client.get_registered_model("recommender").tags


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_conflict_ends_by_a_promotion_of_any_version(three, number):
    three.stage(3)
    three.alias(1)
    registry.reconcile()
    promote(number)
    assert (three.staged, three.pointed, current(), registry.reconcile().conflict) == ([number], number, number, "")


def test_an_alias_deleted_in_the_ui_is_put_back(three):
    three.alias(None)
    assert registry.reconcile().change is None
    assert (three.staged, three.pointed) == ([2], 2)


def test_deleting_a_version_that_only_the_alias_names_puts_the_alias_back(three):
    three.alias(3)
    three.delete(3)
    registry.reconcile()
    assert (three.staged, three.pointed) == ([2], 2)


def test_deleting_production_brings_its_predecessor_back(three):
    three.delete(2)
    assert current() == 1
    change = registry.reconcile().change
    assert change is not None
    assert (change.version, change.how, change.by) == (1, "deleted", "recstage")
    assert change.reason == "version 2 was deleted while in Production"
    assert (three.staged, three.pointed) == ([1], 1)


def test_deleting_the_only_version_that_ever_was_production_leaves_none(registry_driver):
    only, other = registry_driver.add(), registry_driver.add()
    promote(only)
    registry_driver.delete(only)
    assert registry.reconcile().version is None
    assert (registry_driver.staged, registry_driver.pointed) == ([], None)
    assert registry.history()[-1].version is None
    promote(other)
    assert current() == other


@pytest.mark.parametrize("stage", ["None", "Archived", "Staging"])
def test_taking_production_off_its_stage_withdraws_it(three, stage):
    three.stage(2, stage)
    change = registry.reconcile().change
    assert change is not None
    assert (change.version, change.previous, change.how, change.reason) == (
        None,
        2,
        "unset",
        f"moved to stage {stage}",
    )
    assert (three.staged, three.pointed, current()) == ([], None, None)
    three.alias(3)
    registry.reconcile()
    assert (three.staged, current()) == ([3], 3)


def test_archiving_production_and_naming_another_by_alias_is_a_move(three):
    three.stage(2, "Archived")
    three.alias(3)
    assert registry.reconcile().version is not None
    assert (three.staged, three.pointed) == ([3], 3)


def test_a_registry_that_was_never_reconciled_is_taken_as_its_stages_say(registry_driver):
    for _ in range(2):
        registry_driver.add()
    registry_driver.stage(1)
    registry_driver.alias(2)
    registry.reconcile()
    assert (registry_driver.staged, registry_driver.pointed) == ([1], 1)


# -- robustness ---------------------------------------------------------------------------------------------------


def test_resolving_writes_nothing(three, monkeypatch):
    three.stage(3, archive=False)
    for write in ("stage", "point_alias", "tag_model", "tag_version"):
        monkeypatch.setattr(mlflow_client, write, lambda *_: pytest.fail("a write"))
    assert current() == 3
    assert registry.production().number == 3


def test_reconciling_again_reads_once_and_writes_nothing(three, monkeypatch):
    registry.reconcile()
    for call in ("read", "stage", "point_alias", "tag_model", "tag_version"):
        monkeypatch.setattr(mlflow_client, call, lambda *_: pytest.fail("more than a look"))
    assert registry.reconcile().version == registry.resolve().version


@pytest.mark.parametrize("survived", range(12))
def test_a_promotion_killed_at_any_write_is_finished_or_never_was(three, survived):
    done = 0

    def counted(write):
        def until_killed(*arguments):
            nonlocal done
            if done == survived:
                raise KeyboardInterrupt
            done += 1
            return write(*arguments)

        return until_killed

    with pytest.MonkeyPatch.context() as patch:
        for name in ("stage", "point_alias", "tag_model", "tag_version"):
            patch.setattr(mlflow_client, name, counted(getattr(mlflow_client, name)))
        try:
            promote(3)
        except KeyboardInterrupt:
            pass
        else:
            assert survived > 6
    registry.reconcile()
    production = current()
    assert production == (3 if survived >= 2 else 2)
    assert (three.staged, three.pointed) == ([production], production)
    assert [(one.version, one.by) for one in registry.history()] == [(1, "ada"), (2, "ada"), (3, "ada")][:production]


def test_a_note_that_led_nowhere_is_dropped_after_a_minute(three):
    note = {"version": 3, "how": "promote", "by": "ada", "reason": "", "at": int(1000 * time.time()) - 61_000}
    three.client.set_registered_model_tag("recommender", "production_note", json.dumps(note))
    registry.reconcile()
    assert "production_note" not in three.client.get_registered_model("recommender").tags
    assert current() == 2
