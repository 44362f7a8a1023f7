"""What a data set looks like once it is clean: counts, long tail, times, values, attributes. All of it plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recstage.data.catalogue import Catalogue
from recstage.data.event_log import EventLog
from recstage.data.schema import TIME, TYPE, VALUE, RawData

STEPS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Lower ends of the classes that users and items are counted in, by their events."""
PERIODS = 40
MOST_TYPES, MOST_ITEMS, MOST_NAMES = 30, 10, 20
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Counted:
    """What is counted of clean events: events of each user and item of the id maps, pairs, events of each type (the
    most frequent first), `times` (`times_of`; None without a clock), and `values` (`quantiles_of`) by type."""

    per_user: NDArray[np.integer]
    per_item: NDArray[np.integer]
    pairs: int
    types: pd.Series
    times: Mapping[str, Any] | None
    values: Mapping[str, Any]

    @classmethod
    def of(cls, raw: RawData, events: EventLog) -> Counted:
        """Of events in memory."""
        return cls(
            np.bincount(events.user_index, minlength=len(events.users)),
            np.bincount(events.item_index, minlength=len(events.items)),
            len(events.first),
            raw.events[TYPE].value_counts(),
            times_of(raw.events[TIME].to_numpy(np.float64)) if raw.time_is_clock else None,
            _values(raw.events),
        )


def described(counted: Counted, catalogue: Catalogue) -> dict[str, Any]:
    """Distributions of clean events and of the catalogue."""
    per_user, per_item = counted.per_user, counted.per_item
    with_events = per_item[per_item > 0]
    types = counted.types
    return {
        "types": {str(name): int(count) for name, count in types[types > 0].head(MOST_TYPES).items()},
        "events_per_user": classes(per_user[per_user > 0]),
        "events_per_item": classes(with_events),
        "density": round(counted.pairs / max(len(per_user) * len(with_events), 1), 6),
        "top_share": {"1 %": top_share(with_events, 0.01), "10 %": top_share(with_events, 0.1)},
        "gini": round(gini(with_events), 4),
        "most_frequent": _most_frequent(per_item, catalogue),
        "times": counted.times,
        "values": counted.values,
        "categories": _categories(catalogue),
        "attributes": {
            name: {"kind": kind, "filled": round(float(catalogue.attributes[name].notna().mean()), 4)}
            for name, kind in catalogue.attribute_kinds.items()
        },
    }


def classes(counts: NDArray[np.integer]) -> dict[str, int]:
    """How many of `counts` are in each class of `STEPS`, by the class's name ("3-4")."""
    ends = [*(step - 1 for step in STEPS[1:]), None]
    names = [f"{a}" if a == b else f"{a}-{b}" if b is not None else f"{a}+" for a, b in zip(STEPS, ends, strict=True)]
    found = np.bincount(np.searchsorted(STEPS, counts, side="right") - 1, minlength=len(STEPS))
    return dict(zip(names, found.tolist(), strict=True))


def top_share(counts: NDArray[np.integer], share: float) -> float:
    """Share of all events that the most frequent `share` of the items has (at least one item)."""
    n = max(1, round(share * len(counts)))
    return round(float(np.sort(counts)[::-1][:n].sum() / max(counts.sum(), 1)), 4)


def gini(counts: NDArray[np.integer]) -> float:
    """Gini's coefficient: 0 where all counts are equal, towards 1 where one has all."""
    ordered = np.sort(counts).astype(np.float64)
    n = len(ordered)
    if not n or not ordered.sum():
        return 0.0
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


def times_of(times: NDArray[np.float64]) -> dict[str, Any]:
    """First and last moment, and how many events are in each of `PERIODS` equal periods between."""
    low, high = float(times.min()), float(times.max())
    counts, _ = np.histogram(times, bins=PERIODS, range=(low, max(high, low + 1)))
    return {"first": moment(low), "last": moment(high), "per_period": counts.tolist()}


def moment(seconds: float) -> str:
    """A time in UTC as ISO 8601 to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _values(events: pd.DataFrame) -> dict[str, Any]:
    """Quantiles of the values of each type that has any, and the share that is filled."""
    found: dict[str, Any] = {}
    for name, values in events[VALUE].groupby(events[TYPE], observed=True):
        given = values.dropna()
        if len(given):
            found[str(name)] = quantiles_of(given.to_numpy(), len(values))
    return found


def quantiles_of(given: NDArray[np.float64], rows: int, *, overwrite: bool = False) -> dict[str, float]:
    """Quantiles of the values that are given, and their share of the `rows`; with `overwrite` they are sorted in part
    where they lie."""
    quantiles = np.quantile(given, QUANTILES, overwrite_input=overwrite)
    return {
        "filled": round(len(given) / rows, 4),
        **{f"{share:.0%}": round(float(value), 6) for share, value in zip(QUANTILES, quantiles, strict=True)},
    }


def _most_frequent(per_item: NDArray[np.integer], catalogue: Catalogue) -> list[dict[str, Any]]:
    order = np.argsort(-per_item, kind="stable")[:MOST_ITEMS]
    rows: list[dict[str, Any]] = [
        {"item": str(catalogue.items.ids[at]), "title": str(catalogue.titles[at]), "events": int(per_item[at])}
        for at in order
        if per_item[at]
    ]
    return rows


def _categories(catalogue: Catalogue) -> Mapping[str, int]:
    counts = pd.Series([name for names in catalogue.categories for name in names], dtype=object).value_counts()
    return {str(name): int(count) for name, count in counts.head(MOST_NAMES).items()}
