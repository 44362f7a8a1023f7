"""Columns of text in blocks: only forms in which a value means the same whatever the other rows hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recstage.config import EventsSource
from recstage.data.tables.values.numbers import Decimal, as_text
from recstage.data.tables.values.timestamps import begins_as_iso, iso_seconds


class NeedsWholeColumns(Exception):  # noqa: N818 - nothing is wrong
    """What a value means may depend on all of its column: the reason, for one line."""


class WrittenTimes:
    """Columns of times, block after block: float64 seconds where they are dates, else the numbers themselves. The
    first block decides which, and says so in `is_iso`."""

    def __init__(self, config: EventsSource) -> None:
        if config.time in ("day-first", "month-first"):
            raise NeedsWholeColumns("dates as they are written")
        self._how, self._zone = config.time, config.zone
        self.is_iso: bool | None = None

    def of(self, column: pd.Series, where: str) -> NDArray[np.float64]:
        """The times of a block, NaN where there is none or it cannot be read."""
        begins = self._how in ("auto", "iso") and begins_as_iso(column)
        self.is_iso = begins if self.is_iso is None else self.is_iso
        if (self.is_iso != begins and column.notna().any()) or (self._how == "iso" and not self.is_iso):
            raise NeedsWholeColumns("times in several writings")
        return _iso(column, where, self._zone) if self.is_iso else _numbers(column, "times in several writings")


def values_of(column: pd.Series, decimal: Decimal) -> NDArray[np.float64]:
    """Values of a block, NaN where there is none or it cannot be read."""
    if decimal == ",":
        raise NeedsWholeColumns("decimal commas")
    found = _numbers(column, "values that are no plain numbers")
    if 2 * int((np.isnan(found) & column.notna().to_numpy()).sum()) > int(column.notna().sum()):
        raise NeedsWholeColumns("values that are mostly no numbers")
    return found


def _iso(column: pd.Series, where: str, zone: str) -> NDArray[np.float64]:
    seconds = iso_seconds(column, where, zone)
    if seconds is None:
        raise NeedsWholeColumns("times in several writings")
    rest = column[(column.notna() & ~column.str.match(r"\s*\d{4}-\d{2}-\d{2}"))]
    if rest.str.contains(r"\d").any():
        raise NeedsWholeColumns("times in several writings")
    return seconds.to_numpy()


def _numbers(column: pd.Series, otherwise: str) -> NDArray[np.float64]:
    texts = pc.utf8_trim_whitespace(as_text(column))
    try:
        found = np.array(texts.cast(pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        words = texts.to_pandas().astype(object)
        found = np.array(pd.to_numeric(words, errors="coerce"), np.float64)
        left = words[np.isnan(found) & words.notna().to_numpy()]
        if left.astype(str).str.contains(r"\d|[★⭐]").any() or 2 * len(left) > words.notna().sum():
            raise NeedsWholeColumns(otherwise) from None
    found[~np.isfinite(found)] = np.nan
    return found
