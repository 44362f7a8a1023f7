"""Columns of time: seconds, finer units, ISO 8601, or ranks, told apart by their size where nobody says."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from recstage.data.files.delimited import numbers

Time = Literal["auto", "seconds", "milliseconds", "iso", "rank"]
A_CLOCK = 1e8  # seconds: spring of 1973. Smaller numbers are ranks
FINER = 1e11  # in seconds the year 5138: from here on thousandths, and thousandths of those


def seconds_of(column: pd.Series, how: Time) -> tuple[pd.Series, bool]:
    """float64 seconds since 1970 and true, or ranks and false; NaN where nothing can be made of a value."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return _since_1970(column), True
    if how == "iso":
        return _since_1970(pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")), True
    values = numbers(column)
    if how == "rank":
        return values, False
    if how == "seconds":
        return values, True
    if how == "milliseconds":
        return values / 1e3, True
    if values.notna().sum() * 2 < column.notna().sum():
        return seconds_of(column, "iso")
    middle = float(values.median()) if values.notna().any() else 0.0
    if middle < A_CLOCK:
        return values, False
    while middle >= FINER:
        values, middle = values / 1e3, middle / 1e3
    return values, True


def _since_1970(moments: pd.Series) -> pd.Series:
    if moments.dt.tz is None:
        moments = moments.dt.tz_localize("UTC")
    return (moments - pd.Timestamp(0, tz="UTC")).dt.total_seconds().astype("float64")
