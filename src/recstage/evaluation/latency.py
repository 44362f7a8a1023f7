"""Time of one user's list, asked as a caller would, one after the other: of one model, or of several side by side.

Whatever else runs on the machine only adds to a time. So several models are timed in turn, in the same minutes, on the
same users, round after round, and of each list the best round counts. Where a machine is busy in every round, processor
time still tells what the model needed itself. Why: docs/decisions/0014-latency-side-by-side.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

K = 10
"""Length of the list that is asked for."""
WARM_UP = 3
"""Lists that are asked for first and not timed."""


class Lists(Protocol):
    """What is timed: a fitted `Recommender`."""

    def recommend(self, user_id: str, k: int) -> object: ...


@dataclass(frozen=True)
class Clocks:
    """Seconds on the wall, and seconds that this process has been running on a processor."""

    wall: Callable[[], float] = perf_counter
    processor: Callable[[], float] = process_time


CLOCKS = Clocks()


@dataclass(frozen=True)
class Latency:
    """95th percentile of one list in milliseconds, each list at the best of `rounds`. `p95_ms` is what a caller waits;
    `computing_p95_ms` leaves out the time in which the process waited for a processor, and is never more."""

    p95_ms: float
    computing_p95_ms: float
    rounds: int


def time_lists(model: Lists, user_ids: Iterable[str], clocks: Clocks = CLOCKS) -> NDArray[np.float64]:
    """Milliseconds of each user's list: on the wall and on a processor, float64[n, 2]."""
    took = []
    for user_id in user_ids:
        wall, processor = clocks.wall(), clocks.processor()
        model.recommend(user_id, K)
        took.append((clocks.wall() - wall, clocks.processor() - processor))
    return 1000 * np.asarray(took, np.float64).reshape(-1, 2)


def warm_up(model: Lists, user_ids: Sequence[str] | NDArray[np.object_]) -> None:
    """Ask for the first few lists: a model builds its tables and a library its threads when first asked."""
    for user_id in user_ids[:WARM_UP]:
        model.recommend(user_id, K)


def side_by_side(
    models: Sequence[Lists],
    user_ids: ArrayLike,
    *,
    requests: int,
    rounds: int,
    seed: int = 0,
    clocks: Clocks = CLOCKS,
) -> list[Latency]:
    """Time `requests` single lists of each model in `rounds` interleaved rounds, on the same users that `seed`
    draws from `user_ids`. The order of the models turns round with each round, so that none always comes first."""
    chosen = np.random.default_rng(seed).choice(np.asarray(user_ids, dtype=object), requests)
    for model in models:
        warm_up(model, chosen)
    best = np.full((len(models), requests, 2), np.inf)
    for number in range(rounds):
        order = range(len(models)) if number % 2 == 0 else reversed(range(len(models)))
        for place in order:
            best[place] = np.minimum(best[place], time_lists(models[place], chosen, clocks))
    return [_latency_of(took, rounds) for took in best]


def _latency_of(took: NDArray[np.float64], rounds: int) -> Latency:
    # threads of one process add up on processors: computing never takes longer than the wall clock says
    waited, computed = took[:, 0], took.min(axis=1)
    return Latency(float(np.quantile(waited, 0.95)), float(np.quantile(computed, 0.95)), rounds)
