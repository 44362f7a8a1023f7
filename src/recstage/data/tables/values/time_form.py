"""How a column of times is written, for a reader: unit, order of day and month, zone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from recstage.data.tables.values.east_asian import SIGNS
from recstage.data.tables.values.numbers import numbers
from recstage.data.tables.values.timestamps import (
    COMPACT_NAMES,
    EXCEL_DAYS,
    PARTS,
    RANKS,
    TIME_OF_DAY,
    WITH_ZONE,
    order_of,
    seconds_of,
    unit_of,
)
from recstage.data.tables.values.writings import EITHER, WRITINGS, writings_of

NO_ZONE = "none given: taken as {}"


@dataclass(frozen=True)
class TimeForm:
    """`unit` and `zone` in words; `ambiguous`: no date says whether the day or the month comes first; `in_order`: the
    one with which the rows are in order of time, "day" or "month", where only one does; `first`: the first value."""

    unit: str
    zone: str
    ambiguous: bool = False
    in_order: str = ""
    first: str = ""

    @property
    def lacks_a_zone(self) -> bool:
        """Whether any time is one of a zone that it does not name."""
        return "taken as" in self.zone


def time_form_of(column: pd.Series, zone: str = "UTC") -> TimeForm | None:
    """The form of the values of a column, as text; None where there are none. `zone`: of times that name none."""
    text = column.dropna().astype(str).str.strip()
    text = text[text != ""]
    if not len(text):
        return None
    zoned = text.str.contains(WITH_ZONE, regex=True)
    of_others = f"in some values; the others are taken as {zone}" if zoned.any() else NO_ZONE.format(zone)
    told = "in each value" if zoned.all() else of_others
    if text.str.match(TIME_OF_DAY).all():
        return TimeForm("times of day, with the date of the column of dates", NO_ZONE.format(zone))
    written = writings_of(text[seconds_of(text, "auto")[0].notna()])
    if len(written) > 1:
        return _of_several(list(written), text, told)
    values = numbers(text)
    if values.notna().sum() * 2 >= len(text):
        return _of_numbers(unit_of(values), NO_ZONE.format(zone))
    if text.str.match(PARTS).any():
        first = order_of(text)
        in_order = "" if first else _in_order(text)
        return TimeForm(f"dates, the {first or in_order or 'month'} first", told, not first, in_order, text.iloc[0])
    if text.str.match(SIGNS).mean() > 0.5:
        return TimeForm("dates as 2025年3月2日", told)
    iso = pd.to_datetime(text, errors="coerce", utc=True, format="ISO8601").notna().mean() > 0.5
    return TimeForm("ISO 8601" if iso else "dates in words or other writings", told)


def _of_several(written: Sequence[str], text: pd.Series, zone: str) -> TimeForm:
    first = order_of(text)
    ambiguous = EITHER in written and not first
    either = text[text.str.match(WRITINGS[EITHER])]
    return TimeForm(
        f"several writings: {', '.join(written)}",
        zone,
        ambiguous,
        _in_order(text) if ambiguous else "",
        either.iloc[0] if ambiguous else "",
    )


def _in_order(text: pd.Series) -> str:
    """Which of day and month comes first if the rows are in order of time; nothing where both or neither would do."""
    found = []
    for first in ("day", "month"):
        moments = pd.to_datetime(text, errors="coerce", utc=True, format="mixed", dayfirst=first == "day").dropna()
        if moments.is_monotonic_increasing or moments.is_monotonic_decreasing:
            found.append(first)
    return found[0] if len(found) == 1 else ""


def _of_numbers(unit: str, no_zone: str) -> TimeForm:
    if unit == RANKS:
        return TimeForm("ranks: an order without a clock", "none")
    if unit == EXCEL_DAYS:
        return TimeForm("days since 1900, as spreadsheets count", no_zone)
    if unit in COMPACT_NAMES:
        for code, letters in (("%Y", "YYYY"), ("%m", "MM"), ("%d", "DD"), ("%H", "HH"), ("%M", "MM"), ("%S", "SS")):
            unit = unit.replace(code, letters)
        return TimeForm(f"dates as {unit}", no_zone)
    return TimeForm(f"{unit} since 1970", "UTC")
