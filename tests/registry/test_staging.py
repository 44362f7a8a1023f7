"""Staging: stage, alias and record are followed as those of Production are."""

from __future__ import annotations

import warnings

import pytest

from recstage import registry
from recstage.errors import RegistryError
from recstage.registry import mlflow_client
from recstage.registry.audit_log import STAGING_PREFIX

pytestmark = pytest.mark.slow
NAME = "recommender"


@pytest.fixture
def three(registry_driver):
    for algorithm in ("als", "knn", "ease"):
        registry_driver.add(algorithm)
    registry.set_production(NAME, 1, how="promote", by="ada")
    return registry_driver


def stage(driver, number: int, to: str = "Staging") -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        driver.client.transition_model_version_stage(NAME, str(number), to, archive_existing_versions=False)


def alias(driver, number: int) -> None:
    driver.client.set_registered_model_alias(NAME, "staging", str(number))


def staged(driver) -> tuple[list[int], int | None]:
    pointed = driver.client.get_registered_model(NAME).aliases.get("staging")
    in_stage = sorted(number for number, found in driver.stages.items() if found == "Staging")
    return in_stage, None if pointed is None else int(pointed)


def history() -> list[tuple]:
    return [(one.version, one.how, one.by) for one in registry.history(NAME, STAGING_PREFIX)]


def test_staging_sets_stage_alias_and_history_and_leaves_production_alone(three):
    registry.set_staging(NAME, 2, how="retrain", by="loop", reason="better")
    assert staged(three) == ([2], 2)
    assert registry.production(NAME).number == 1
    assert registry.staging(NAME).number == 2
    assert history() == [(2, "retrain", "loop")]
    registry.set_staging(NAME, 3, how="retrain", by="loop")
    assert staged(three) == ([3], 3)
    assert three.stages[2] == "Archived"


def test_staging_a_version_twice_is_staging_it_once(three):
    for _ in range(2):
        registry.set_staging(NAME, 2, how="retrain", by="loop")
    assert history() == [(2, "retrain", "loop")]


@pytest.mark.parametrize("by", [stage, alias], ids=["stage", "alias"])
def test_a_change_in_the_ui_is_followed_by_the_other_of_both(three, by):
    by(three, 3)
    assert registry.staging(NAME).number == 3  # before it is reconciled, too
    assert registry.reconcile_staging(NAME).change.how == by.__name__
    assert staged(three) == ([3], 3)
    assert registry.reconcile_staging(NAME).change is None


def test_a_stage_and_an_alias_that_disagree_keep_what_was_and_are_told(three):
    registry.set_staging(NAME, 2, how="retrain", by="loop")
    four = three.add("slim")
    stage(three, 3)
    alias(three, four)
    found = registry.reconcile_staging(NAME)
    assert found.version.number == 2
    assert f"stage Staging moved to 3 and alias staging to {four}: version 2 stays" in found.conflict
    assert registry.staging(NAME).number == 2


def test_a_promotion_takes_the_version_out_of_staging(three):
    registry.set_staging(NAME, 2, how="retrain", by="loop")
    registry.set_production(NAME, 2, how="promote", by="ada")
    assert registry.staging(NAME) is None
    assert registry.reconcile_staging(NAME).version is None
    assert staged(three) == ([], None)
    assert history()[-1][1] == "promote"


def test_production_cannot_be_staging(three):
    with pytest.raises(RegistryError, match="version 1 of recommender: it is Production, and Staging is another"):
        registry.set_staging(NAME, 1, how="retrain", by="loop")
    alias(three, 1)  # in the UI it can be written: it is taken back
    assert registry.reconcile_staging(NAME).version is None
    assert staged(three) == ([], None)
    assert registry.production(NAME).number == 1


def test_a_deleted_version_is_in_staging_no_more(three):
    registry.set_staging(NAME, 2, how="retrain", by="loop")
    three.delete(2)
    assert registry.reconcile_staging(NAME).version is None
    assert history()[-1][:2] == (None, "deleted")


def test_unset_leaves_nothing_in_staging(three):
    registry.set_staging(NAME, 2, how="retrain", by="loop")
    registry.unset_staging(NAME, by="watcher", reason="it lost")
    assert staged(three) == ([], None)
    assert registry.unset_staging(NAME, by="watcher").version is None
    assert history()[-1] == (None, "unset", "watcher")


@pytest.mark.parametrize("after", range(1, 6))
def test_a_kill_at_any_write_is_finished_by_the_next_reconciliation_with_author_and_reason(three, monkeypatch, after):
    writes = 0

    def counting(real):
        def write(*given, **named):
            nonlocal writes
            writes += 1
            if writes > after:
                raise KeyboardInterrupt
            return real(*given, **named)

        return write

    with monkeypatch.context() as patch:
        for name in ("stage", "point_alias", "tag_model"):
            patch.setattr(mlflow_client, name, counting(getattr(mlflow_client, name)))
        with pytest.raises(KeyboardInterrupt):
            registry.set_staging(NAME, 2, how="retrain", by="loop")
    if registry.reconcile_staging(NAME).version is None:  # killed before anything was staged
        registry.set_staging(NAME, 2, how="retrain", by="loop")
    assert staged(three) == ([2], 2)
    assert history() == [(2, "retrain", "loop")]
    assert "staging_note" not in three.client.get_registered_model(NAME).tags


def test_a_version_that_does_not_exist_is_refused(three):
    with pytest.raises(RegistryError, match="version 9 of recommender: there is no such version"):
        registry.set_staging(NAME, 9, how="retrain", by="loop")
