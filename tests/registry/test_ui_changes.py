"""Random sequences of changes, also by several processes at once: one Production is left."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap

import pytest

from recstage import registry
from recstage.registry import mlflow_client

pytestmark = pytest.mark.slow

CHANGES = (
    "promote",
    "rollback",
    "stage",
    "stage another",
    "unstage",
    "alias",
    "no alias",
    "delete",
    "add",
    "reconcile",
)
WEIGHTS = (4, 3, 3, 3, 1, 4, 1, 2, 2, 4)


def change(registry_driver, kind: str, chance: random.Random) -> None:
    existing = sorted(registry_driver.stages)
    number = chance.choice(existing)
    if kind == "promote":
        registry.set_production("recommender", number, how="promote", by="ada")
    elif kind == "rollback":
        past, current = registry.history(), registry.resolve().version
        target = registry.predecessor(past, None if current is None else current.number, existing)
        if target is not None:
            registry.set_production("recommender", target, how="rollback", by="ada")
    elif kind in ("stage", "stage another"):
        registry_driver.stage(number, archive=kind == "stage")
    elif kind == "unstage":
        registry_driver.stage(number, chance.choice(["None", "Archived", "Staging"]))
    elif kind == "alias":
        registry_driver.alias(number)
    elif kind == "no alias":
        registry_driver.alias(None)
    elif kind == "delete" and len(existing) > 2:
        registry_driver.delete(number)
    elif kind == "add":
        registry_driver.add()
    else:
        registry.reconcile()


@pytest.mark.parametrize("seed", range(4))
def test_whatever_people_do_one_production_comes_out(registry_driver, seed):
    chance = random.Random(seed)
    for _ in range(4):
        registry_driver.add()
    registry.set_production("recommender", 1, how="promote", by="ada")
    for _ in range(12):
        for kind in chance.choices(CHANGES, WEIGHTS, k=chance.randint(1, 2)):
            change(registry_driver, kind, chance)
        before, foreseen = registry.history(), registry.resolve()
        resolution = registry.reconcile()
        past = registry.history()
        current = None if resolution.version is None else resolution.version.number
        assert past[: len(before)] == before
        assert [one.at for one in past] == sorted({one.at for one in past})
        assert [one.previous for one in past[1:]] == [one.version for one in past[:-1]]
        assert past[-1].version == current
        assert (None if foreseen.version is None else foreseen.version.number) == current
        if resolution.conflict:
            assert current in registry_driver.stages
            assert registry_driver.pointed is not None
            assert registry_driver.pointed not in registry_driver.staged
        elif current is None:
            assert (registry_driver.staged, registry_driver.pointed) == ([], None)
            assert past[-1].how == "unset" or not set(registry.trail(past)) & set(registry_driver.stages)
        else:
            assert (registry_driver.staged, registry_driver.pointed) == ([current], current)
        again = registry.reconcile()
        assert (again.version, again.change, again.conflict) == (resolution.version, None, resolution.conflict)


PROMOTER = """
    import sys
    from recstage import registry
    registry.reconcile()
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(4):
        registry.set_production("recommender", 2, how="promote", by="the other")
"""


@pytest.mark.integration
def test_two_processes_promoting_at_once_leave_one_production(registry_driver):
    for _ in range(3):
        registry_driver.add()
    registry.set_production("recommender", 1, how="promote", by="ada")
    other = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PROMOTER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    other.stdin.write("go\n")
    other.stdin.close()
    for _ in range(4):
        registry.set_production("recommender", 3, how="promote", by="this one")
    assert other.wait(60) == 0
    assert registry.reconcile().change is None
    assert len(registry_driver.staged) == 1
    assert registry_driver.staged == [registry_driver.pointed]
    past = registry.history()
    assert past[-1].version == registry_driver.pointed
    assert {one.by for one in past} == {"ada", "this one", "the other"}
    assert [one.previous for one in past[1:]] == [one.version for one in past[:-1]]


def test_a_move_that_another_machine_overtook_says_so(registry_driver, monkeypatch):
    for _ in range(3):
        registry_driver.add()
    stage = mlflow_client.stage

    def overtaken(name, number):
        stage(name, number)
        registry_driver.stage(3)
        registry_driver.client.delete_registered_model_tag("recommender", "production_note")
        return 0

    monkeypatch.setattr(mlflow_client, "stage", overtaken)
    with pytest.raises(registry.Overtaken, match="was version 2 when this was decided and is version 3 now"):
        registry.set_production("recommender", 2, how="promote", by="ada")
    assert registry_driver.staged == [registry_driver.pointed] == [3]


def test_two_moves_that_no_lock_kept_apart_are_mended(registry_driver):
    """What two machines that share a registry, but no lock file, can do to each other: both archive version 1 and
    neither sees the other's."""
    for _ in range(3):
        registry_driver.add()
    registry.set_production("recommender", 1, how="promote", by="ada")
    registry_driver.stage(2, archive=False)
    registry_driver.stage(3, archive=False)
    registry_driver.stage(1, "Archived")
    registry.reconcile()
    assert len(registry_driver.staged) == 1
    assert registry_driver.staged == [registry_driver.pointed]
