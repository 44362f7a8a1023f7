"""What prune deletes, and what it never does."""

from __future__ import annotations

import pytest

from recstage import registry
from recstage.errors import RegistryError


def promote(number: int, how: str = "promote") -> None:
    registry.set_production("recommender", number, how=how, by="ada")  # type: ignore[arg-type]


def numbers(pruned: registry.Pruned) -> list[int]:
    return [version.number for version in pruned.deleted]


def test_the_last_of_each_algorithm_are_kept(registry_driver):
    for algorithm in ("als", "knn", "als", "als", "als", "knn"):
        registry_driver.add(algorithm)
    pruned = registry.prune(keep=2)
    assert numbers(pruned) == [1, 3]
    assert sorted(registry_driver.stages) == [2, 4, 5, 6]
    assert pruned.kept[5] == "among the last 2 of als"


def test_production_its_predecessor_aliases_and_stages_are_kept(registry_driver):
    for _ in range(8):
        registry_driver.add()
    for number in (1, 2, 3, 4):
        promote(number)
    promote(2, "rollback")
    registry_driver.client.set_registered_model_alias("recommender", "candidate", "5")
    registry_driver.stage(6, "Staging")
    pruned = registry.prune(keep=1)
    assert numbers(pruned) == [3, 7]
    assert pruned.kept == {
        1: "a rollback goes to it",
        2: "Production",
        4: "Production before this one",
        5: "alias candidate",
        6: "stage Staging",
        8: "among the last 1 of als",
    }
    assert registry.production().number == 2


def test_what_was_just_staged_in_the_ui_counts(registry_driver):
    for _ in range(5):
        registry_driver.add()
    promote(2)
    registry_driver.stage(1)
    assert numbers(registry.prune(keep=1)) == [3, 4]
    assert registry.production().number == 1


def test_a_dry_run_deletes_nothing(registry_driver):
    for _ in range(5):
        registry_driver.add()
    assert numbers(registry.prune(keep=3, dry_run=True)) == [1, 2]
    assert sorted(registry_driver.stages) == [1, 2, 3, 4, 5]


def test_pruning_again_deletes_nothing(registry_driver):
    for _ in range(5):
        registry_driver.add()
    registry.prune()
    assert registry.prune().deleted == ()


def test_an_unknown_registered_model_is_refused(registry_driver):
    with pytest.raises(RegistryError, match=r"'nothing': there is no such registered model\. Nothing is regist"):
        registry.prune("nothing")


def test_the_run_of_a_pruned_version_can_be_registered_again(registry_driver):
    for seed in range(2):
        registry_driver.register(seed=seed)
    registry.prune(keep=1)
    assert registry.register(registry_driver.runs[0]).number == 3
