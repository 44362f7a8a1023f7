"""The candidates of a list that business rules arrange: how many are looked at, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.rules.cap_counts import CapCounts
from serving.rules.plan import ListPlan

RULES_POOL, SMALLEST_RULES_POOL = 10, 100
"""Candidates of a list that the rules look at: so many times its length, and at least so many."""
POOL, SMALLEST_POOL = 5, 50
"""Candidates that diversity chooses from, likewise."""
GROWTH = 8
"""How much larger the next pool is, where the caps leave too few of one."""
Candidates = tuple[NDArray[np.int32], NDArray[np.float32]]
Retrieve = Callable[[int, NDArray[np.bool_] | None], Candidates]
"""The k best items, none of them excluded, and their scores; of the items of a mask alone where one is given."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Candidates, best first, after boosts and burials; `spread`: the range of the model's scores, by which they are
    measured."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    shift: NDArray[np.float32] | None
    spread: np.float32

    def shifted(self, items: NDArray[np.int32], scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The scores of further items, moved by the same boosts and burials."""
        return scores if self.shift is None else scores + self.shift[items] * self.spread


def pool_of(
    plan: ListPlan, limit: int, retrieve: Retrieve, counts: CapCounts, taken: set[int], needed: int
) -> tuple[Pool, NDArray[np.int32], NDArray[np.float32]]:
    """Enough candidates for a list, and those of them that the caps leave room for, which are counted.

    `needed`: items wanted; fewer are enough where they fill the list.
    """
    wanted = limit - len(taken)
    bare = plan.caps is None and plan.shift is None and needed == wanted
    size = limit + len(taken) if bare else max(RULES_POOL * limit, SMALLEST_RULES_POOL)
    before = counts.state()
    while True:
        pool = _ordered(*retrieve(size, None), plan.shift)
        if plan.caps is None and not taken:
            return pool, pool.items[:needed], pool.scores[:needed]
        kept = np.array(counts.take_all(pool.items.tolist(), taken, needed), np.intp)
        if len(kept) >= wanted or len(pool.items) < size:
            return pool, pool.items[kept], pool.scores[kept]
        counts.restore(before)
        size *= GROWTH


def _ordered(items: NDArray[np.int32], scores: NDArray[np.float32], shift: NDArray[np.float32] | None) -> Pool:
    if shift is None or not len(items):
        return Pool(items, scores, None, np.float32(0))
    spread = scores[0] - scores[-1] or np.float32(1)
    moved = scores + shift[items] * spread
    order = np.argsort(-moved, kind="stable")
    return Pool(items[order], moved[order], shift, spread)
