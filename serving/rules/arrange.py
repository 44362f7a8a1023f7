"""One list by the rules: after the model, before diversity.

In this order, of which an earlier one wins over a later: excluded items are not there, caps hold, pins stand at their
ranks, floors are met as far as there are items for it, boosts and burials order the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.rules.definitions import Rule
from serving.rules.plan import CompiledCap, CompiledFloor, ListPlan, PlacedPin

POOL, SMALLEST_POOL = 5, 50
"""Candidates of a list that boosts or diversity reorder: so many times its length, and at least so many."""
GROWTH = 8
"""How much larger the next pool is, where the caps leave too few of one."""
Candidates = tuple[NDArray[np.int32], NDArray[np.float32]]
Retrieve = Callable[[int, NDArray[np.bool_] | None], Candidates]
"""The k best items, none of them excluded, and their scores; of the items of a mask alone where one is given."""
Score = Callable[[NDArray[np.int32]], NDArray[np.float32]]
Diversify = Callable[[NDArray[np.int32], NDArray[np.float32], int], Candidates]


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
    counters = [_Counter(cap) for cap in plan.caps]
    pins = [pin for pin in plan.pins if pin.rank <= limit and not excluded[pin.item] and _take(counters, pin.item)]
    wanted = limit - len(pins)
    pool, kept = _pool(plan, limit, retrieve, counters, {pin.item for pin in pins}, diversify is None)
    items, scores = pool.items[kept], pool.scores[kept]
    if diversify is not None and len(items) > 1 and wanted:
        items, scores = diversify(items, scores, wanted)
    chosen = list(zip(items[:wanted].tolist(), scores[:wanted].tolist(), strict=True))
    raised = [floor.rule for floor in plan.floors if _raise(floor, plan, limit, pins, chosen, pool, retrieve)]
    return Arranged(*_placed(pins, chosen, pool, score), _applied(plan, pool, pins, counters, raised), _pinned(pins))


@dataclass(frozen=True, slots=True)
class _Pool:
    """Candidates, best first, after boosts and burials; `spread`: the range of the model's scores, by which they are
    measured."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    shift: NDArray[np.float32] | None
    spread: np.float32

    def shifted(self, items: NDArray[np.int32], scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The scores of further items, moved by the same boosts and burials."""
        return scores if self.shift is None else scores + self.shift[items] * self.spread


def _pool(
    plan: ListPlan,
    limit: int,
    retrieve: Retrieve,
    counters: Sequence[_Counter],
    taken: set[int],
    first_are_enough: bool,
) -> tuple[_Pool, list[int]]:
    """Enough candidates for a list, and the places of those that the caps leave room for; counts what is kept."""
    wanted = limit - len(taken)
    if plan.shift is not None or not first_are_enough:
        size = max(POOL * limit, SMALLEST_POOL)
    else:
        size = limit * (2 if counters else 1) + len(taken)
    before = [dict(counter.held) for counter in counters]
    while True:
        pool = _ordered(*retrieve(size, None), plan.shift)
        kept = _capped(pool.items.tolist(), counters, taken, wanted if first_are_enough else None)
        if len(kept) >= wanted or len(pool.items) < size:
            return pool, kept
        size *= GROWTH
        for counter, held in zip(counters, before, strict=True):
            counter.held = dict(held)


def _ordered(items: NDArray[np.int32], scores: NDArray[np.float32], shift: NDArray[np.float32] | None) -> _Pool:
    if shift is None or not len(items):
        return _Pool(items, scores, None, np.float32(0))
    spread = np.float32(scores.max() - scores.min()) or np.float32(1)
    moved = scores + shift[items] * spread
    order = np.argsort(-moved, kind="stable")
    return _Pool(items[order], moved[order], shift, spread)


class _Counter:
    """How many items of each value of a capped attribute are on the list; `full`: an item was passed over."""

    def __init__(self, cap: CompiledCap) -> None:
        self.cap, self.full = cap, False
        self.held: dict[Any, int] = {}

    def room(self, item: int) -> bool:
        for value in self.cap.groups[item]:
            if self.held.get(value, 0) >= self.cap.most:
                self.full = True
                return False
        return True

    def add(self, item: int) -> None:
        for value in self.cap.groups[item]:
            self.held[value] = self.held.get(value, 0) + 1

    def remove(self, item: int) -> None:
        for value in self.cap.groups[item]:
            self.held[value] -= 1


def _take(counters: Iterable[_Counter], item: int) -> bool:
    """Count an item where all caps leave room for it."""
    if not all(counter.room(item) for counter in counters):
        return False
    for counter in counters:
        counter.add(item)
    return True


def _capped(items: Sequence[int], counters: Sequence[_Counter], taken: set[int], most: int | None) -> list[int]:
    """Places of the items that the caps leave room for, at most `most`, without those `taken`."""
    kept: list[int] = []
    for place, item in enumerate(items):
        if most is not None and len(kept) >= most:
            break
        if item not in taken and _take(counters, item):
            kept.append(place)
    return kept


# -- floors -----------------------------------------------------------------------------------------------------------


def _raise(
    floor: CompiledFloor,
    plan: ListPlan,
    limit: int,
    pins: Sequence[PlacedPin],
    chosen: list[tuple[int, float]],
    pool: _Pool,
    retrieve: Retrieve,
) -> bool:
    """Put the best items of a floor in place of the last others, until its share is met; whether any was needed."""
    listed = {pin.item for pin in pins} | {item for item, _ in chosen}
    missing = ceil(floor.share * limit - 1e-9) - sum(bool(floor.mask[item]) for item in listed)
    if missing <= 0:
        return False
    counters = [_Counter(cap) for cap in plan.caps]
    for counter in counters:
        for item in listed:
            counter.add(item)
    protected = [one.mask for one in plan.floors[: plan.floors.index(floor) + 1]]
    raised = 0
    items, scores = retrieve(limit * (GROWTH if counters else 1) + missing, floor.mask)
    for item, score in zip(items.tolist(), pool.shifted(items, scores).tolist(), strict=True):
        if missing == raised:
            break
        if item not in listed and _replace(chosen, raised, protected, counters, limit - len(pins), (item, score)):
            raised += 1
    return raised > 0


def _replace(
    chosen: list[tuple[int, float]],
    raised: int,
    protected: Sequence[NDArray[np.bool_]],
    counters: Sequence[_Counter],
    wanted: int,
    entry: tuple[int, float],
) -> bool:
    """Put an item at the end, in place of the last one that no floor asks for; whether there was room for it."""
    victim = None
    if len(chosen) >= wanted:
        places = range(len(chosen) - raised - 1, -1, -1)
        victim = next((at for at in places if not any(mask[chosen[at][0]] for mask in protected)), None)
        if victim is None:
            return False
        for counter in counters:
            counter.remove(chosen[victim][0])
    if not _take(counters, entry[0]):
        if victim is not None:
            for counter in counters:
                counter.add(chosen[victim][0])
        return False
    if victim is not None:
        del chosen[victim]
    chosen.append(entry)
    return True


# -- the list ---------------------------------------------------------------------------------------------------------


def _placed(
    pins: Sequence[PlacedPin], chosen: Sequence[tuple[int, float]], pool: _Pool, score: Score
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The chosen items with each pin at its rank; at the end where the list is shorter."""
    entries = list(chosen)
    if pins:
        for pin, its_score in zip(pins, _scores_of([pin.item for pin in pins], pool, score), strict=True):
            entries.insert(pin.rank - 1, (pin.item, its_score))  # in order of rank: later ones do not move it
    return (
        np.fromiter((item for item, _ in entries), np.int32, len(entries)),
        np.fromiter((value for _, value in entries), np.float32, len(entries)),
    )


def _scores_of(items: list[int], pool: _Pool, score: Score) -> list[float]:
    known = dict(zip(pool.items.tolist(), pool.scores.tolist(), strict=True))
    missing = np.array([item for item in items if item not in known], np.int32)
    if len(missing):
        known |= zip(missing.tolist(), pool.shifted(missing, score(missing)).tolist(), strict=True)
    return [known[item] for item in items]


def _applied(
    plan: ListPlan, pool: _Pool, pins: Sequence[PlacedPin], counters: Sequence[_Counter], raised: Iterable[Rule]
) -> tuple[Rule, ...]:
    """Every rule that had a part in the list, by name."""
    found = [*plan.excluding, *raised]
    found += [pin.rule for pin in pins]
    found += [counter.cap.rule for counter in counters if counter.full]
    found += [shift.rule for shift in plan.shifts if shift.mask[pool.items].any()]
    return tuple(sorted(found, key=lambda rule: rule.name))


def _pinned(pins: Iterable[PlacedPin]) -> dict[int, Rule]:
    return {pin.item: pin.rule for pin in pins}


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
