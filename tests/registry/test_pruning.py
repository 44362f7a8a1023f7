"""What prune deletes, and what it never does."""

from __future__ import annotations

import pytest

from recstage import registry
from recstage.errors import RegistryError


def move(number: int, how: str = "promote") -> None:
    registry.move("recommender", number, how=how, by="ada")  # type: ignore[arg-type]


def numbers(pruned: registry.Pruned) -> list[int]:
    return [version.number for version in pruned.deleted]


def test_the_last_of_each_algorithm_are_kept(desk):
    for algorithm in ("als", "knn", "als", "als", "als", "knn"):
        desk.add(algorithm)
    pruned = registry.prune(keep=2)
    assert numbers(pruned) == [1, 3]
    assert sorted(desk.stages) == [2, 4, 5, 6]
    assert pruned.kept[5] == "among the last 2 of als"


def test_production_its_predecessor_aliases_and_stages_are_kept(desk):
    for _ in range(8):
        desk.add()
    for number in (1, 2, 3, 4):
        move(number)
    move(2, "rollback")
    desk.client.set_registered_model_alias("recommender", "candidate", "5")
    desk.stage(6, "Staging")
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


def test_what_was_just_staged_in_the_ui_counts(desk):
    for _ in range(5):
        desk.add()
    move(2)
    desk.stage(1)
    assert numbers(registry.prune(keep=1)) == [3, 4]
    assert registry.production().number == 1


def test_a_dry_run_deletes_nothing(desk):
    for _ in range(5):
        desk.add()
    assert numbers(registry.prune(keep=3, dry_run=True)) == [1, 2]
    assert sorted(desk.stages) == [1, 2, 3, 4, 5]


def test_pruning_again_deletes_nothing(desk):
    for _ in range(5):
        desk.add()
    registry.prune()
    assert registry.prune().deleted == ()


def test_an_unknown_registered_model_is_refused(desk):
    with pytest.raises(RegistryError, match=r"'nothing': there is no such registered model\. Nothing is regist"):
        registry.prune("nothing")


def test_the_run_of_a_pruned_version_can_be_registered_again(desk):
    for seed in range(2):
        desk.register(seed=seed)
    registry.prune(keep=1)
    assert registry.register(desk.runs[0]).number == 3
