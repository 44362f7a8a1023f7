"""A share of a list for the items of a filter: the best of them in place of the last others."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from serving.rules.candidates import GROWTH, Pool, Retrieve
from serving.rules.cap_counts import CapCounts
from serving.rules.plan import CompiledFloor, ListPlan, PlacedPin


def raise_share(
    floor: CompiledFloor,
    plan: ListPlan,
    limit: int,
    pins: Sequence[PlacedPin],
    chosen: list[tuple[int, float]],
    pool: Pool,
    retrieve: Retrieve,
) -> bool:
    """Put the best items of a floor in place of the last others, until its share is met; whether any was put in."""
    listed = [*(pin.item for pin in pins), *(item for item, _ in chosen)]
    missing = ceil(floor.share * limit - 1e-9) - int(np.count_nonzero(floor.mask[np.array(listed, np.int32)]))
    if missing <= 0:
        return False
    counts = CapCounts(plan.caps)
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
    counts: CapCounts,
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
