"""What a file of events holds: counts, times, types, users by history, items that join, and what looks wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from recstage.data.schema import ITEM, TIME, TYPE, USER, VALUE, RawData
from recstage.data.segments import SEGMENTS

COLD_BELOW, HOT_FROM = 5, 20  # as conf/evaluation.yaml has them
BOT_TIMES = 50
SESSION_SECONDS = 1800
SHOWN = 5


@dataclass(frozen=True)
class Profile:
    """`types` counts events by type, `values` the least and greatest value by type; `first`, `last` are None where
    times are no clock's. `top_share`: of the events, on the most popular hundredth of the items. `sessions`: stretches
    of one user without a pause of half an hour. `warnings` are sentences."""

    rows: int
    kept: int
    dropped: dict[str, int]
    users: int
    items: int
    density: float
    duplicates: int
    repeats: int
    types: dict[str, int]
    values: dict[str, tuple[float, float]]
    ordered: bool
    is_clock: bool
    first: datetime | None
    last: datetime | None
    sessions: int | None
    top_share: float
    segments: dict[str, float]
    items_described: int | None
    first_unjoined: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def profile_of(raw: RawData) -> Profile:
    """The profile of all rows that could be read."""
    events = raw.events
    user, users = pd.factorize(events[USER])
    item, items = pd.factorize(events[ITEM])
    per_user, per_item = np.bincount(user, minlength=1), np.bincount(item, minlength=1)
    pairs = len(np.unique(user.astype(np.int64) * max(len(items), 1) + item))
    described, unjoined = _joined(raw, items)
    clock = raw.time_is_clock and events[TIME].notna().any()
    return Profile(
        rows=raw.rows_read if raw.rows_read is not None else len(events),
        kept=len(events),
        dropped=dict(raw.rejected.counts),
        users=len(users),
        items=len(items),
        density=pairs / max(len(users) * len(items), 1),
        duplicates=int(events.duplicated([USER, ITEM, TIME, TYPE, VALUE]).sum()) if raw.ordered else 0,
        repeats=len(events) - pairs,
        types={str(key): int(count) for key, count in events[TYPE].value_counts().items() if count},
        values=_values(events),
        ordered=raw.ordered,
        is_clock=bool(clock),
        first=_moment(events[TIME].min()) if clock else None,
        last=_moment(events[TIME].max()) if clock else None,
        sessions=_sessions(user, events[TIME].to_numpy(float)) if clock else None,
        top_share=_top_share(per_item),
        segments=_segments(per_user),
        items_described=described,
        first_unjoined=unjoined,
        warnings=list(_warnings(raw, per_user, per_item, described, unjoined)),
        notes=list(raw.notes),
    )


def _values(events: pd.DataFrame) -> dict[str, tuple[float, float]]:
    known = events[events[VALUE].notna()]
    found = known.groupby(known[TYPE].astype(str))[VALUE].agg(["min", "max"])
    return {str(name): (float(row["min"]), float(row["max"])) for name, row in found.iterrows()}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)


def _sessions(user: np.ndarray, time: np.ndarray) -> int:
    order = np.lexsort((time, user))
    same = user[order][1:] == user[order][:-1]
    near = np.diff(time[order]) <= SESSION_SECONDS
    return len(user) - int((same & near).sum())


def _top_share(per_item: np.ndarray) -> float:
    most = max(1, len(per_item) // 100)
    return float(np.sort(per_item)[-most:].sum() / max(per_item.sum(), 1))


def _segments(per_user: np.ndarray) -> dict[str, float]:
    cold, hot = (per_user < COLD_BELOW).mean(), (per_user >= HOT_FROM).mean()
    return dict(zip(SEGMENTS, map(float, (cold, 1 - cold - hot, hot)), strict=True))


def _joined(raw: RawData, items: pd.Index) -> tuple[int | None, list[str]]:
    if raw.items is None:
        return None, []
    known = pd.Index(items.astype(str)).isin(set(raw.items[ITEM].astype(str)))
    return int(known.sum()), [str(one) for one in items[~known][:SHOWN]]


def _warnings(
    raw: RawData, per_user: np.ndarray, per_item: np.ndarray, described: int | None, unjoined: list[str]
) -> Iterator[str]:
    events = raw.events
    typical = float(np.median(per_user))
    heavy = int((per_user > BOT_TIMES * max(typical, 1)).sum())
    if heavy:
        yield f"{heavy} users have more than {BOT_TIMES} times the median of {typical:.0f} events: bots?"
    single = float((per_user == 1).mean())
    if single > 0.2:
        yield f"{single:.0%} of the users have one event: they can be neither trained on nor tested"
    for name, count in raw.rejected.counts.items():
        yield f"{count} rows cannot be used: {name} ({'; '.join(raw.rejected.first.get(name, ()))})"
    if not raw.ordered:
        yield "no column says what came first: the split is drawn at random"
    elif raw.time_is_clock and events[TIME].nunique() == 1:
        yield "the column of times is constant: it tells no order"
    if events[VALUE].notna().any() and events[VALUE].nunique() == 1:
        yield f"the column of values is constant ({events[VALUE].dropna().iloc[0]:g}): it says nothing"
    if described is not None and described < len(per_item):
        share = described / max(len(per_item), 1)
        yield f"the items file describes {described} of {len(per_item)} items ({share:.0%}); not {', '.join(unjoined)}"
