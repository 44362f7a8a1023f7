"""How a column of times is written, for a reader: unit, order of day and month, zone."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from recstage.data.tables.values.numbers import numbers
from recstage.data.tables.values.timestamps import (
    COMPACT_NAMES,
    EXCEL_DAYS,
    PARTS,
    RANKS,
    TIME_OF_DAY,
    WITH_ZONE,
    order_of,
    unit_of,
)

NO_ZONE = "none given: taken as UTC"


@dataclass(frozen=True)
class TimeForm:
    """`unit` and `zone` in words; `ambiguous`: nothing says whether the day or the month comes first."""

    unit: str
    zone: str
    ambiguous: bool = False


def time_form_of(column: pd.Series) -> TimeForm | None:
    """The form of the values of a column, as text; None where there are none."""
    text = column.dropna().astype(str).str.strip()
    text = text[text != ""]
    if not len(text):
        return None
    values = numbers(text)
    if values.notna().sum() * 2 >= len(text):
        return _of_numbers(unit_of(values))
    zoned = text.str.contains(WITH_ZONE, regex=True)
    zone = "in each value" if zoned.all() else "in some values; the others are taken as UTC" if zoned.any() else NO_ZONE
    if text.str.match(TIME_OF_DAY).all():
        return TimeForm("times of day, with the date of the column of dates", NO_ZONE)
    if text.str.match(PARTS).any():
        first = order_of(text)
        return TimeForm(f"dates, the {first or 'month'} first", zone, ambiguous=not first)
    iso = pd.to_datetime(text, errors="coerce", utc=True, format="ISO8601").notna().mean() > 0.5
    return TimeForm("ISO 8601" if iso else "dates in words or other writings", zone)


def _of_numbers(unit: str) -> TimeForm:
    if unit == RANKS:
        return TimeForm("ranks: an order without a clock", "none")
    if unit == EXCEL_DAYS:
        return TimeForm("days since 1900, as spreadsheets count", NO_ZONE)
    if unit in COMPACT_NAMES:
        for code, letters in (("%Y", "YYYY"), ("%m", "MM"), ("%d", "DD"), ("%H", "HH"), ("%M", "MM"), ("%S", "SS")):
            unit = unit.replace(code, letters)
        return TimeForm(f"dates as {unit}", NO_ZONE)
    return TimeForm(f"{unit} since 1970", "UTC")
