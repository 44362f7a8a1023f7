"""Latency of several models measured in turn, on clocks that a test sets: slow machines, slow models, noisy rounds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from recstage.evaluation.latency import WARM_UP, Clocks, Latency, side_by_side, time_lists

USERS = [f"u{i}" for i in range(50)]


@dataclass
class Machine:
    """A machine with clocks of its own. `busy`: seconds of waiting for each second of work, in each round to come."""

    busy: list[float]
    wall: float = 0.0
    processor: float = 0.0
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.wall, lambda: self.processor)


class Timed:
    """A model whose lists take `milliseconds`; the round follows from the number of calls."""

    def __init__(self, machine: Machine, name: str, milliseconds: float, requests: int = 40, threads: int = 1) -> None:
        self.machine, self.name, self.milliseconds = machine, name, milliseconds
        self.requests, self.threads, self.asked = requests, threads, -WARM_UP

    def recommend(self, user_id: str, k: int) -> None:
        machine, seconds = self.machine, self.milliseconds / 1000
        machine.asked.append((self.name, user_id))
        busy = machine.busy[max(0, self.asked) // self.requests]
        machine.wall += seconds * (1 + busy)
        machine.processor += seconds * self.threads
        self.asked += 1


def timed(machine: Machine, *models: Timed, rounds: int = 5) -> list[Latency]:
    return side_by_side(models, USERS, requests=40, rounds=rounds, clocks=machine.clocks)


def test_on_a_quiet_machine_both_figures_are_the_model_s_time():
    machine = Machine([0] * 5)
    (found,) = timed(machine, Timed(machine, "als", 20))
    assert (found.p95_ms, found.computing_p95_ms, found.rounds) == (pytest.approx(20), pytest.approx(20), 5)


def test_a_round_that_was_disturbed_does_not_count():
    machine = Machine([9, 30, 0, 9, 9])
    ours, theirs = timed(machine, Timed(machine, "als", 20), Timed(machine, "knn", 10))
    assert (ours.p95_ms, theirs.p95_ms) == (pytest.approx(20), pytest.approx(10))


def test_a_slow_machine_is_slow_for_both_and_computing_tells_it():
    machine = Machine([4] * 5)
    ours, theirs = timed(machine, Timed(machine, "als", 30), Timed(machine, "knn", 25))
    assert (ours.p95_ms, theirs.p95_ms) == (pytest.approx(150), pytest.approx(125))
    assert (ours.computing_p95_ms, theirs.computing_p95_ms) == (pytest.approx(30), pytest.approx(25))


def test_a_slow_model_is_slow_by_either_figure():
    machine = Machine([4, 0, 4, 4, 4])
    slow, _ = timed(machine, Timed(machine, "ncf", 300), Timed(machine, "knn", 10))
    assert (slow.p95_ms, slow.computing_p95_ms) == (pytest.approx(300), pytest.approx(300))


def test_threads_make_no_model_look_slower_than_it_answers():
    machine = Machine([0] * 5)
    (found,) = timed(machine, Timed(machine, "two-tower", 20, threads=8))
    assert found.computing_p95_ms == pytest.approx(20)


def test_each_list_counts_at_its_own_best_round():
    """A disturbance of one list in ten is in the p95 of every round, and hits no list in all of them."""
    machine = Machine([0] * 5)
    model = Timed(machine, "als", 20)
    random = np.random.default_rng(0)
    answer = model.recommend

    def disturbed(user_id: str, k: int) -> None:
        answer(user_id, k)
        machine.wall += 0.5 * (random.random() < 0.1)

    model.recommend = disturbed  # type: ignore[method-assign]
    assert timed(machine, model)[0].p95_ms == pytest.approx(20)


def test_models_take_turns_on_the_same_users_and_none_always_comes_first():
    machine = Machine([0] * 3)
    timed(machine, Timed(machine, "a", 1), Timed(machine, "b", 1), rounds=3)
    asked = machine.asked[2 * WARM_UP :]
    blocks = [asked[start : start + 40] for start in range(0, len(asked), 40)]
    assert [block[0][0] for block in blocks] == ["a", "b", "b", "a", "a", "b"]
    assert all(len({name for name, _ in block}) == 1 for block in blocks)
    users = [[user for _, user in block] for block in blocks]
    assert all(block == users[0] for block in users)
    assert len(set(users[0])) > 10


def test_nobody_takes_no_time():
    assert time_lists(Timed(Machine([0]), "a", 1), []).shape == (0, 2)


def test_the_p95_is_that_of_the_slowest_lists():
    machine = Machine([0])
    model = Timed(machine, "als", 1)
    slow = {user for user in USERS if int(user[1:]) % 5 == 0}
    answer = model.recommend

    def uneven(user_id: str, k: int) -> None:
        model.milliseconds = 80 if user_id in slow else 1
        answer(user_id, k)

    model.recommend = uneven  # type: ignore[method-assign]
    assert timed(machine, model, rounds=1)[0].p95_ms == pytest.approx(80)
