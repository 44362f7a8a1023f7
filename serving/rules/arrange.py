"""One list by the rules: after the model, before diversity.

In this order, of which an earlier one wins over a later: excluded items are not there, caps hold, pins stand at their
ranks, floors are met as far as there are items for it, boosts and burials order the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recstage.models.ranking import top_k
from serving.rules.candidates import POOL, SMALLEST_POOL, Candidates, Pool, Retrieve, pool_of
from serving.rules.cap_counts import CapCounts
from serving.rules.definitions import Rule
from serving.rules.floors import raise_share
from serving.rules.plan import ListPlan, PlacedPin

Score = Callable[[NDArray[np.int32]], NDArray[np.float32]]
Diversify = Callable[[NDArray[np.int32], NDArray[np.float32], int], Candidates]
"""Chooses k of the candidates, which it is given with their scores."""


@dataclass(frozen=True, slots=True)
class Arranged:
    """A list: items int32[<= limit] with their scores, the rules that had a part in it, and the pinned items with
    their rules."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    applied: tuple[Rule, ...]
    pinned: dict[int, Rule]


def arrange(
    plan: ListPlan,
    limit: int,
    excluded: NDArray[np.bool_],
    retrieve: Retrieve,
    score: Score,
    diversify: Diversify | None = None,
) -> Arranged:
    """The list that the rules make of a model's candidates.

    Args:
        plan: the rules.
        limit: items wanted; fewer are returned where fewer are left.
        excluded: items that must not be listed, those of the plan included: bool[n_items].
        retrieve: gives candidates, best first.
        score: scores of items that are no candidates, for pins.
        diversify: chooses k of the candidates.
    """
    counts = CapCounts(plan.caps)
    pins = _pins_of(plan, limit, excluded, counts)
    wanted = limit - len(pins)
    needed = wanted if diversify is None else max(POOL * limit, SMALLEST_POOL)
    pool, items, scores = pool_of(plan, limit, retrieve, counts, {pin.item for pin in pins}, needed)
    if diversify is not None and len(items) > 1 and wanted:
        items, scores = diversify(items, scores, wanted)
    items, scores = items[:wanted], scores[:wanted]
    raised: list[Rule] = []
    if plan.floors or pins:
        chosen = list(zip(items.tolist(), scores.tolist(), strict=True))
        raised = [floor.rule for floor in plan.floors if raise_share(floor, plan, limit, pins, chosen, pool, retrieve)]
        if pins or raised:
            items, scores = _placed(pins, chosen, pool, score)
    return Arranged(items, scores, _applied(plan, pool, pins, counts, raised), {pin.item: pin.rule for pin in pins})


def _pins_of(plan: ListPlan, limit: int, excluded: NDArray[np.bool_], counts: CapCounts) -> list[PlacedPin]:
    """The pins that stand in this list, in order of rank; an item that several rules pin stands at its first rank."""
    pins: dict[int, PlacedPin] = {}
    for pin in plan.pins:
        if pin.item not in pins and pin.rank <= limit and not excluded[pin.item] and counts.take(pin.item):
            pins[pin.item] = pin
    return list(pins.values())


def _placed(
    pins: Sequence[PlacedPin], chosen: Sequence[tuple[int, float]], pool: Pool, score: Score
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The chosen items with each pin at its rank; at the end where the list is shorter."""
    entries = list(chosen)
    if pins:
        for pin, its_score in zip(pins, _scores_of([pin.item for pin in pins], pool, score), strict=True):
            entries.insert(pin.rank - 1, (pin.item, its_score))  # in order of rank: later ones do not move it
    return (
        np.array([item for item, _ in entries], np.int32),
        np.array([value for _, value in entries], np.float32),
    )


def _scores_of(items: list[int], pool: Pool, score: Score) -> list[float]:
    known = {
        item: float(pool.scores[place]) for item in items for place in np.flatnonzero(pool.items == item)[:1].tolist()
    }
    missing = np.array([item for item in items if item not in known], np.int32)
    if len(missing):
        known |= zip(missing.tolist(), pool.shifted(missing, score(missing)).tolist(), strict=True)
    return [known[item] for item in items]


def _applied(
    plan: ListPlan, pool: Pool, pins: Sequence[PlacedPin], counts: CapCounts, raised: Iterable[Rule]
) -> tuple[Rule, ...]:
    """Every rule that had a part in the list, by name."""
    found = [*plan.excluding, *raised, *counts.applied()]
    found += [pin.rule for pin in pins]
    found += [shift.rule for shift in plan.shifts if shift.by[pool.items].any()]
    return tuple(sorted(found, key=lambda rule: rule.name))


class _NotEnough(Exception):
    """The stored candidates do not suffice."""


def arrange_stored(
    plan: ListPlan, limit: int, excluded: NDArray[np.bool_], items: NDArray[np.int32], scores: NDArray[np.float32]
) -> Arranged | None:
    """`arrange` on candidates that were stored, best first and none of them excluded: the same list, or None where it
    needs more of the model than they hold (boosts and burials, pins of other items, floors that are not met)."""
    if plan.shift is not None:
        return None

    def retrieve(k: int, only: NDArray[np.bool_] | None) -> Candidates:
        if only is not None:
            raise _NotEnough
        return items[:k], scores[:k]

    def score(missing: NDArray[np.int32]) -> NDArray[np.float32]:
        raise _NotEnough

    try:
        return arrange(plan, limit, excluded, retrieve, score)
    except _NotEnough:
        return None


def arrange_scores(
    plan: ListPlan,
    limit: int,
    excluded: NDArray[np.bool_],
    scores: NDArray[np.float32],
    diversify: Diversify | None = None,
) -> Arranged:
    """`arrange` for a list that is made of one score an item: similar items, popular ones, and the like.

    Args:
        plan: the rules.
        limit: items wanted.
        excluded: items that must not be listed, those of the plan included: bool[n_items].
        scores: of all items: float32[n_items].
        diversify: chooses k of the candidates.
    """
    listed = np.where(excluded, np.float32(-np.inf), scores).astype(np.float32, copy=False)

    def retrieve(k: int, only: NDArray[np.bool_] | None) -> Candidates:
        return best_of(listed, k) if only is None else best_of(listed, k, np.flatnonzero(only).astype(np.int32))

    return arrange(plan, limit, excluded, retrieve, lambda items: scores[items], diversify)


def best_of(scores: NDArray[np.float32], k: int, among: NDArray[np.int32] | None = None) -> Candidates:
    """The k best items, best first, ties to the lower index, and their scores; -inf is never chosen.

    Args:
        scores: of all items: float32[n_items].
        k: items wanted; fewer are returned where fewer are left.
        among: only these items, ascending: int32[m].
    """
    if among is not None:
        values = scores[among]
        order = np.argsort(-values, kind="stable")[:k]
        order = order[values[order] > -np.inf]
        return among[order], values[order]
    items, values = top_k(scores[None], min(k, len(scores)))
    kept = int(np.count_nonzero(items[0] >= 0))  # what is missing is at the end
    return items[0][:kept], values[0][:kept]
