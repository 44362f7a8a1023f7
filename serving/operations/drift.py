"""Whether users choose other items now than when the version was trained: the population stability index.

Items are cut into ten groups by popularity in training, each with about a tenth of the training interactions. Where
users still choose alike, each group has a tenth of the events now. PSI = sum of (now - then) ln(now / then): below .1
no drift, from .25 on a drift that calls for retraining (N. Siddiqi, Credit Risk Scorecards, 2006).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, func, select

from recstage.data.interactions import Interactions
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import ItemActivity

Verdict = Literal["unknown", "stable", "noted", "drifted"]
GROUPS = 10
LEAST_EVENTS = 200
LEAST_SHARE = 1e-4
"""Stands for a share of 0, whose logarithm does not exist."""
NOTED, DRIFTED = 0.1, 0.25

EVENTS_BY_ITEM = Query(
    "events_by_item",
    select(ItemActivity.item_id, func.sum(ItemActivity.events))
    .where(ItemActivity.hour > bindparam("since"))
    .group_by(ItemActivity.item_id),
)


@dataclass(frozen=True)
class Drift:
    """`psi`: None below 200 events of known items. `unknown_share`: of the events, items that the version lacks.

    `then` and `now`: the share of the interactions in each group of items, most popular first.
    """

    events: int
    psi: float | None
    unknown_share: float | None
    then: tuple[float, ...]
    now: tuple[float, ...]

    @property
    def verdict(self) -> Verdict:
        """In a word."""
        if self.psi is None:
            return "unknown"
        return "stable" if self.psi < NOTED else "noted" if self.psi < DRIFTED else "drifted"


def events_by_item(reader: Reader, since_hour: int) -> dict[str, int]:
    """Events of each item since an hour (hours since 1970). Raises `StoreError`."""
    return {item: int(events) for item, events in reader.rows(EVENTS_BY_ITEM, {"since": since_hour})}


def drift_of(train: Interactions, events: Mapping[str, int]) -> Drift:
    """Events now against the training interactions."""
    index = train.items.index_of(list(events)) if events else np.zeros(0, np.int64)
    numbers = np.array(list(events.values()), np.float64)
    known = index >= 0
    total, of_known = numbers.sum(), numbers[known].sum()
    group = popularity_groups(np.asarray(train.item_counts))
    then = _shares(np.bincount(group, weights=train.item_counts, minlength=GROUPS))
    now = _shares(np.bincount(group[index[known]], weights=numbers[known], minlength=GROUPS))
    enough = of_known >= LEAST_EVENTS and then.sum() > 0
    return Drift(
        events=int(total),
        psi=stability_index(then, now) if enough else None,
        unknown_share=1 - of_known / total if total else None,
        then=tuple(then.tolist()),
        now=tuple(now.tolist()),
    )


def popularity_groups(counts: NDArray) -> NDArray[np.int64]:
    """The group of each item, 0 the most popular: int64[n_items]. Each has about a tenth of all interactions."""
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    groups = np.empty(len(counts), np.int64)
    groups[order] = np.minimum(GROUPS - 1, before * GROUPS // max(1, counts.sum()))
    return groups


def stability_index(then: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """The population stability index of two distributions over the same groups."""
    p, q = np.maximum(then, LEAST_SHARE), np.maximum(now, LEAST_SHARE)
    return float(((q - p) * np.log(q / p)).sum())


def _shares(weights: NDArray) -> NDArray[np.float64]:
    total = weights.sum()
    return weights / total if total else np.zeros(len(weights))
