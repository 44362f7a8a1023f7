"""What is known of the moment of a request: the context of its event, and the hour and the day of the week."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recstage.data.interactions import Interactions
from recstage.data.tables.values.columns import NO_COLUMNS, Columns, aligned

PROFILE_KEY, CONTEXT_KEY = "profile.", "context."
"""Before the names of attributes in `Users.given`."""
HOUR, WEEKDAY = "hour", "weekday"
DAY = 86_400
CLOCK_FROM = 100_000_000


def context_of(rows: Interactions) -> Columns:
    """The context of each row; where times are a clock's also `hour` (0 to 23) and `weekday` (0: Monday), in UTC, but
    not where events have columns of these names themselves."""
    out = dict(rows.context)
    if len(rows) and int(rows.timestamp.max()) >= CLOCK_FROM:
        hour, weekday = moment(rows.timestamp)
        out.setdefault(HOUR, hour)
        out.setdefault(WEEKDAY, weekday)
    return out


def moment(seconds: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Hour and day of the week (0: Monday) of times in seconds since 1970, UTC: float64[n] each."""
    return (seconds % DAY // 3600).astype(np.float64), ((seconds // DAY + 3) % 7).astype(np.float64)


def first_of_each(rows: Interactions, row_of: NDArray[np.int64], n: int) -> Columns:
    """Of n users (`row_of` int64[len(rows)]: which of them each row is of, -1: none) the context of the first of their
    rows, under the keys of `Users.given`."""
    columns = context_of(rows)
    if not columns:
        return NO_COLUMNS
    kept = np.flatnonzero(row_of >= 0)
    kept = kept[np.argsort(rows.timestamp[kept], kind="stable")]
    users, first = np.unique(row_of[kept], return_index=True)
    places = np.full(n, -1, np.int64)
    places[users] = kept[first]
    return {f"{CONTEXT_KEY}{name}": values for name, values in aligned(columns, places).items()}
