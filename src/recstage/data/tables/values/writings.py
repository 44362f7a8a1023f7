"""The ways in which a column of times is written, row by row: several in one column are told, with their counts."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recstage.data.tables.values.east_asian import SIGNS
from recstage.data.tables.values.numbers import as_text
from recstage.data.tables.values.timestamps import Time, day_is_first

WORDS = "words or other writings"
DAY_FIRST, MONTH_FIRST = "dates with the day first (31/01/2025)", "dates with the month first (01/31/2025)"
EITHER = "dates as 01/02/2025"
WRITINGS: dict[str, str] = {
    "ISO 8601": r"^\s*\d{4}-\d",
    "numbers": r"^\s*[+-]?\d+(\.\d*)?\s*$",
    "dates as 2025/03/02": r"^\s*\d{4}[/.]\d",
    "dates as 2025年3月2日": f"^{SIGNS}",
    "dates as 31.01.2025": r"^\s*\d{1,2}\.\d{1,2}\.\d{2}",
    DAY_FIRST: r"^\s*(1[3-9]|2\d|3[01])[/-]\d{1,2}[/-]\d{2}",
    MONTH_FIRST: r"^\s*\d{1,2}[/-](1[3-9]|2\d|3[01])[/-]\d{2}",
    EITHER: r"^\s*\d{1,2}[/-]\d{1,2}[/-]\d{2}",
}
"""Each writing with the pattern of its values, the first that fits."""


def writings_of(column: pd.Series) -> dict[str, int]:
    """How many values of a column of text are written in which way, the most frequent first. Dates that do not tell
    whether the day comes first count with those that do, where these agree."""
    left = as_text(column.dropna())
    left = left if isinstance(left, pa.ChunkedArray) else pa.chunked_array([left])
    found: dict[str, int] = {}
    for name, pattern in WRITINGS.items():
        fits = pc.match_substring_regex(left, pattern)
        found[name] = pc.sum(fits).as_py() or 0
        left = left.filter(pc.invert(fits))
        if not len(left):
            break
    found[WORDS] = len(left)
    telling = [name for name in (DAY_FIRST, MONTH_FIRST) if found.get(name)]
    if len(telling) == 1:
        found[telling[0]] += found.pop(EITHER, 0)
    return {name: count for name, count in sorted(found.items(), key=lambda one: -one[1]) if count}


def several_writings(column: pd.Series, seconds: pd.Series, how: Time) -> list[str]:
    """What there is to say of a column of text whose values are written in several ways. `seconds` of each, NaN where
    it is no time."""
    if column.dtype != object and not isinstance(column.dtype, pd.StringDtype):
        return []
    try:
        counts = writings_of(column[seconds.notna()])
    except pa.ArrowException:  # not all are text
        return []
    if len(counts) < 2:
        return []
    told = ", ".join(f"{name} in {count:,} {'row' if count == 1 else 'rows'}" for name, count in counts.items())
    return [f"times are written in {len(counts)} ways: {told}{_taken(column, how) if EITHER in counts else ''}"]


def _taken(column: pd.Series, how: Time) -> str:
    first, other = ("day", "month") if day_is_first(column.dropna(), how) else ("month", "day")
    return f"; {EITHER} are read with the {first} first (source.time: {other}-first says otherwise)"
