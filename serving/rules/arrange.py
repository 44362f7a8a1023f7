"""One list by the rules: after the model, before diversity.

In this order, of which an earlier one wins over a later: excluded items are not there, caps hold, pins stand at their
ranks, floors are met as far as there are items for it, boosts and burials order the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from recstage.models.ranking import top_k
from serving.rules.definitions import Rule
from serving.rules.plan import CompiledCaps, CompiledFloor, ListPlan, PlacedPin

RULES_POOL, SMALLEST_RULES_POOL = 10, 100
"""Candidates of a list that the rules look at: so many times its length, and at least so many."""
POOL, SMALLEST_POOL = 5, 50
"""Candidates that diversity chooses from, likewise."""
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
    counts = _Counts(plan.caps)
    pins = _pins_of(plan, limit, excluded, counts)
    wanted = limit - len(pins)
    needed = wanted if diversify is None else max(POOL * limit, SMALLEST_POOL)
    pool, items, scores = _pool(plan, limit, retrieve, counts, {pin.item for pin in pins}, needed)
    if diversify is not None and len(items) > 1 and wanted:
        items, scores = diversify(items, scores, wanted)
    items, scores = items[:wanted], scores[:wanted]
    raised: list[Rule] = []
    if plan.floors or pins:
        chosen = list(zip(items.tolist(), scores.tolist(), strict=True))
        raised = [floor.rule for floor in plan.floors if _raise(floor, plan, limit, pins, chosen, pool, retrieve)]
        if pins or raised:
            items, scores = _placed(pins, chosen, pool, score)
    return Arranged(items, scores, _applied(plan, pool, pins, counts, raised), {pin.item: pin.rule for pin in pins})


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
    plan: ListPlan, limit: int, retrieve: Retrieve, counts: _Counts, taken: set[int], needed: int
) -> tuple[_Pool, NDArray[np.int32], NDArray[np.float32]]:
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


def _ordered(items: NDArray[np.int32], scores: NDArray[np.float32], shift: NDArray[np.float32] | None) -> _Pool:
    if shift is None or not len(items):
        return _Pool(items, scores, None, np.float32(0))
    spread = scores[0] - scores[-1] or np.float32(1)
    moved = scores + shift[items] * spread
    order = np.argsort(-moved, kind="stable")
    return _Pool(items[order], moved[order], shift, spread)


class _Counts:
    """How many items of each capped value are on a list; `passed`: the caps that passed an item over, by place."""

    def __init__(self, caps: CompiledCaps | None) -> None:
        self._caps = caps
        self._held: dict[int, int] = {}
        self._full: set[int] = set()
        self.passed: set[int] = set()

    def state(self) -> tuple[dict[int, int], set[int], set[int]]:
        """What `restore` brings back."""
        return dict(self._held), set(self._full), set(self.passed)

    def restore(self, state: tuple[dict[int, int], set[int], set[int]]) -> None:
        """Be as when `state` was called."""
        held, full, passed = state
        self._held, self._full, self.passed = dict(held), set(full), set(passed)

    def take(self, item: int) -> bool:
        """Count an item where all caps leave room for it."""
        return bool(self.take_all([item], set(), 1))

    def take_all(self, items: Sequence[int], taken: set[int], most: int) -> list[int]:
        """Places of the items that the caps leave room for, at most `most`, without those `taken`; counts them."""
        if self._caps is None:
            return [place for place, item in enumerate(items) if item not in taken][:most]
        kept: list[int] = []
        # this loop passes over dozens of items for each list: a set and tuples of numbers are what is quick here
        codes_of, full, add = self._caps.codes, self._full, self._add
        room, n_caps = full.isdisjoint, len(self._caps.rules)
        for place, item in enumerate(items if most else ()):
            codes = codes_of[item]
            if not room(codes):
                if len(self.passed) < n_caps:
                    self.passed.update(self._caps.cap_of[code] for code in codes if code in full)
            elif item not in taken:
                kept.append(place)
                add(codes)
                if len(kept) == most:
                    break
        return kept

    def applied(self) -> list[Rule]:
        """The caps that passed an item over."""
        return [] if self._caps is None else [self._caps.rules[cap] for cap in self.passed]

    def _add(self, codes: Iterable[int]) -> None:
        held, most = self._held, self._caps.most  # type: ignore[union-attr]
        for code in codes:
            count = held[code] = held.get(code, 0) + 1
            if count >= most[code]:
                self._full.add(code)

    def put(self, item: int) -> None:
        """Count an item, whether or not there is room."""
        if self._caps is not None:
            self._add(self._caps.codes[item])

    def remove(self, item: int) -> None:
        """Count an item no longer."""
        if self._caps is not None:
            for code in self._caps.codes[item]:
                self._held[code] -= 1
                if self._held[code] < self._caps.most[code]:
                    self._full.discard(code)


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
    """Put the best items of a floor in place of the last others, until its share is met; whether any was put in."""
    listed = [*(pin.item for pin in pins), *(item for item, _ in chosen)]
    missing = ceil(floor.share * limit - 1e-9) - int(np.count_nonzero(floor.mask[np.array(listed, np.int32)]))
    if missing <= 0:
        return False
    counts = _Counts(plan.caps)
    for item in listed:
        counts.put(item)
    protected = [one.mask for one in plan.floors[: plan.floors.index(floor) + 1]]
    raised = 0
    items, scores = retrieve(limit * (GROWTH if plan.caps is not None else 1) + missing, floor.mask)
    for item, score in zip(items.tolist(), pool.shifted(items, scores).tolist(), strict=True):
        if missing == raised:
            break
        if item not in listed and _replace(chosen, raised, protected, counts, limit - len(pins), (item, score)):
            raised += 1
    return raised > 0


def _replace(
    chosen: list[tuple[int, float]],
    raised: int,
    protected: Sequence[NDArray[np.bool_]],
    counts: _Counts,
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
        counts.remove(chosen[victim][0])
    if not counts.take(entry[0]):
        if victim is not None:
            counts.put(chosen[victim][0])
        return False
    if victim is not None:
        del chosen[victim]
    chosen.append(entry)
    return True


# -- the list ---------------------------------------------------------------------------------------------------------


def _pins_of(plan: ListPlan, limit: int, excluded: NDArray[np.bool_], counts: _Counts) -> list[PlacedPin]:
    """The pins that stand in this list, in order of rank; an item that several rules pin stands at its first rank."""
    pins: dict[int, PlacedPin] = {}
    for pin in plan.pins:
        if pin.item not in pins and pin.rank <= limit and not excluded[pin.item] and counts.take(pin.item):
            pins[pin.item] = pin
    return list(pins.values())


def _placed(
    pins: Sequence[PlacedPin], chosen: Sequence[tuple[int, float]], pool: _Pool, score: Score
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


def _scores_of(items: list[int], pool: _Pool, score: Score) -> list[float]:
    known = {
        item: float(pool.scores[place]) for item in items for place in np.flatnonzero(pool.items == item)[:1].tolist()
    }
    missing = np.array([item for item in items if item not in known], np.int32)
    if len(missing):
        known |= zip(missing.tolist(), pool.shifted(missing, score(missing)).tolist(), strict=True)
    return [known[item] for item in items]


def _applied(
    plan: ListPlan, pool: _Pool, pins: Sequence[PlacedPin], counts: _Counts, raised: Iterable[Rule]
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
