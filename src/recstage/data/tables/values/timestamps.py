"""Columns of time: seconds, finer units, dates in any usual writing, or ranks; recognised unless configured."""

from __future__ import annotations

import datetime
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recstage.data.tables.values.east_asian import in_iso
from recstage.data.tables.values.numbers import as_text, numbers
from recstage.errors import DataError

Time = Literal["auto", "seconds", "milliseconds", "iso", "day-first", "month-first", "rank"]
A_CLOCK = 1e8  # seconds: spring of 1973. Smaller numbers are ranks
FINER = 1e11  # in seconds the year 5138: from here on thousandths, and thousandths of those
EXCEL_FROM, EXCEL_UNTIL = 32_874, 55_153  # 1990 to 2050, as days since the end of 1899
EXCEL_ZERO = 25_569  # 1970
A_DAY = 86_400
ISO = r"^\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?$"
ISO_UTC = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?Z$"
TIME_OF_DAY = r"^\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(\s*[AaPp]\.?[Mm]\.?)?$"
POINTED = r"^\s*\d{1,2}\."
PARTS = r"^\s*(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d{2})\b"
A_YEAR = r"\d{4}|\d[./-](?:\d{1,2}|[A-Za-z]{3,9})[./-]\d{2}"
COMPACT = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}

COMPACT_NAMES = frozenset(COMPACT.values())
FINER_UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
EXCEL_DAYS, RANKS = "days since 1900", "ranks"
WITH_ZONE = (
    r"(?:\d:\d\d|T\d{4}).*?(?:[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)(?:\s*\([^)]*\)|\s+\d{4})?\s*$"  # or the year last
)


def seconds_of(column: pd.Series, how: Time, where: str = "timestamp", zone: str = "UTC") -> tuple[pd.Series, bool]:
    """float64 seconds since 1970 and true, or ranks and false; NaN where nothing can be made of a value. Times without
    a zone are those of `zone`. Raises `DataError` on times of day, which have no date."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, values = column.cat.codes.to_numpy(), pd.Series(column.cat.categories)
        found, is_clock = seconds_of(values, how, where, zone)
        return pd.Series(np.append(found.to_numpy(), np.nan)[codes], column.index), is_clock
    if pd.api.types.is_datetime64_any_dtype(column):
        seconds = _since_1970(column)
        return (seconds if column.dt.tz is not None else _of_zone(seconds, zone)), True
    if column.dtype == object:
        column = column.map(lambda value: str(value) if isinstance(value, bool | list | dict | np.ndarray) else value)
    if column.dtype == object and (typed := _typed(column, where, zone)) is not None:
        return typed, True
    if how in ("auto", "iso") and (written := _iso(column, where, how, zone)) is not None:
        return (_with_numbers(written, column, zone) if how == "auto" else written), True
    if how in ("iso", "day-first", "month-first"):
        return _dates(column, where, how, zone), True
    values = numbers(column)
    if how == "rank":
        return values, False
    if how == "seconds":
        return values, True
    if how == "milliseconds":
        return values / 1e3, True
    if values.notna().sum() * 2 < column.notna().sum():
        return _with_numbers(_dates(column, where, zone=zone), column, zone), True
    seconds, is_clock = _found_out(values, zone)
    return (_with_dates(seconds, column, where, zone) if is_clock else seconds), is_clock


def _found_out(values: pd.Series, zone: str) -> tuple[pd.Series, bool]:
    """What numbers mean as times: Excel's days, dates without marks, seconds or finer, else ranks."""
    unit = unit_of(values)
    if unit == EXCEL_DAYS:
        return _of_zone((values - EXCEL_ZERO) * A_DAY, zone), True
    if unit in COMPACT_NAMES:
        return _of_zone(_compact(values), zone), True
    if unit == RANKS:
        return values, False
    for _ in range(3):  # one value may be in a finer unit than another
        values = values.where(~(values >= FINER), values / 1e3)
    return values, True


def _with_numbers(seconds: pd.Series, column: pd.Series, zone: str) -> pd.Series:
    """Times of a column of dates, with those of its values that are seconds since 1970 or finer."""
    left = seconds.isna() & column.notna()
    values = numbers(column[left])
    if unit_of(values) not in FINER_UNITS:
        return seconds
    return seconds.where(~left, _found_out(values, zone)[0].reindex(column.index))


def _with_dates(seconds: pd.Series, column: pd.Series, where: str, zone: str) -> pd.Series:
    """Times of a column of numbers, with those of its values that are dates as text."""
    left = seconds.isna() & column.notna()
    left &= ~column.where(left, "").astype(str).str.strip().str.match(TIME_OF_DAY) if left.any() else left
    if not left.any():
        return seconds
    return seconds.where(~left, _dates(column[left], where, zone=zone).reindex(column.index))


def unit_of(values: pd.Series) -> str:
    """What numbers are as times: one of `FINER_UNITS`, `COMPACT_NAMES`, `EXCEL_DAYS` or `RANKS`."""
    some = values.dropna()
    if not len(some):
        return RANKS
    low, middle, high = float(some.min()), float(some.median()), float(some.max())
    if low >= EXCEL_FROM and high <= EXCEL_UNTIL:
        return EXCEL_DAYS
    if _are_compact(some, low, high):
        return COMPACT[len(f"{high:.0f}")]
    if middle < A_CLOCK:
        return RANKS
    fitting = (name for name, scale in FINER_UNITS.items() if middle / scale < FINER)
    return next(fitting, "nanoseconds")


def _are_compact(some: pd.Series, low: float, high: float) -> bool:
    """Whether numbers read as dates (20230105, 20230105120000), all but a few."""
    digits = len(f"{high:.0f}")
    if digits not in COMPACT or len(f"{low:.0f}") != digits or not 1970 <= int(f"{low:.0f}"[:4]) <= 2100:
        return False
    if digits < 8 and (high > 2100 * 10 ** (digits - 4) or (some % 1 > 0).any()):
        return False
    text = pd.Series([f"{value:.0f}" for value in some.unique()])
    return bool(pd.to_datetime(text, format=COMPACT[digits], errors="coerce").isna().mean() <= 0.01)


def _compact(values: pd.Series) -> pd.Series:
    codes, different = pd.factorize(values)
    text = pd.Series([f"{value:.0f}" for value in different])
    moments = pd.to_datetime(text, format=COMPACT[len(text.iloc[0])], errors="coerce")
    return pd.Series(np.append(_since_1970(moments).to_numpy(), np.nan)[codes], values.index)


def _typed(column: pd.Series, where: str, zone: str) -> pd.Series | None:
    """Seconds of Python's own dates, as Parquet's DATE and spreadsheets give them; None where the column is text."""
    given = column.dropna()
    if len(given) and isinstance(given.iloc[0], datetime.time):
        raise _no_date(where, str(given.iloc[0]))
    if not len(given) or not any(isinstance(value, datetime.date) for value in given.iloc[:100]):
        return None
    seconds = _since_1970(pd.to_datetime(column, errors="coerce", utc=True, format="mixed"))
    zoned = column.map(lambda value: getattr(value, "tzinfo", None) is not None).astype(bool)
    return seconds.where(zoned, _of_zone(seconds, zone))


def _iso(column: pd.Series, where: str, how: Time, zone: str) -> pd.Series | None:
    """Seconds of a column of text that mostly is ISO 8601, which Arrow reads some twenty times as fast as all the
    writings are tried: the others are read one by one. None where it is mostly something else."""
    if not begins_as_iso(column):
        return None
    seconds = np.full(len(column), np.nan)
    try:
        texts = pc.utf8_trim_whitespace(as_text(column))
        plain, zoned = (pc.fill_null(pc.match_substring_regex(texts, form), False) for form in (ISO, ISO_UTC))
        if pc.sum(pc.or_(plain, zoned)).as_py() * 2 < len(texts):
            return None
        for rows, zone_of_them in ((plain, zone), (zoned, "UTC")):
            some = pc.replace_substring_regex(texts.filter(rows), "Z$", "")
            micros = some.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(zero_copy_only=False)
            at = rows.to_numpy(zero_copy_only=False)
            seconds[at] = _of_zone(pd.Series(micros / 1e6), zone_of_them).to_numpy()
    except pa.ArrowException:  # the thirteenth month of some year, or no text
        return None
    left = column.notna().to_numpy() & np.isnan(seconds)
    if left.any():
        seconds[left] = _dates(column[left], where, how, zone).to_numpy()
    return pd.Series(seconds, column.index)


def iso_seconds(column: pd.Series, where: str, zone: str) -> pd.Series | None:
    """`seconds_of` a column of text that is ISO 8601; None where it is mostly something else."""
    return _iso(column, where, "auto", zone)


def begins_as_iso(column: pd.Series) -> bool:
    """Whether the first values are text that begins as ISO 8601 does."""
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return False
    some = column.dropna().head(20)
    return bool(len(some)) and all(isinstance(one, str) for one in some) and bool(some.str.match(r"\s*\d{4}-").all())


def _of_zone(seconds: pd.Series, zone: str) -> pd.Series:
    """Seconds of clocks on a wall, as if they were UTC, in true ones: of an hour that comes twice the first, of one
    that the change to summer time skips the first moment after it."""
    if zone == "UTC" or not len(seconds):
        return seconds
    moments = pd.Series(pd.to_datetime(seconds * 1e6, unit="us", errors="coerce"), seconds.index)
    local = moments.dt.tz_localize(zone, ambiguous=np.ones(len(moments), bool), nonexistent="shift_forward")
    return _since_1970(local)


def _dates(column: pd.Series, where: str, how: Time = "auto", zone: str = "UTC") -> pd.Series:
    """Seconds of dates as text: ISO 8601 first, then what else is usual, each different one once."""
    codes, different = pd.factorize(column)
    text = pd.Series(different, dtype=object).map(lambda value: str(value).strip())
    if len(text) and text.str.match(TIME_OF_DAY).all():
        raise _no_date(where, text.iloc[0])
    given = text = in_iso(text)
    text = text.str.replace(r"\s*(?:UTC|GMT|Z)$", "+00:00", regex=True)
    moments = pd.to_datetime(text, errors="coerce", utc=True, format="ISO8601")
    left = moments.isna()
    if left.any():
        moments = moments.where(~left, _other_dates(text[left], how))
    seconds = _since_1970(moments)
    if zone != "UTC":
        zoned = given.str.contains(WITH_ZONE, regex=True).astype(bool)
        seconds = seconds.where(zoned, _of_zone(seconds, zone))
    return pd.Series(np.append(seconds.to_numpy(), np.nan)[codes], column.index)


def _other_dates(text: pd.Series, how: Time = "auto") -> pd.Series:
    """Dates in other writings than ISO's; of 05.01.2023 and 05/01/2023 the day is first where it is with points, or
    where a first number above 12 says so, unless it is said."""
    pointed = text.str.match(POINTED)
    found = pd.Series(pd.NaT, text.index, dtype="datetime64[us, UTC]")
    for rows, day_first in ((pointed, how != "month-first"), (~pointed, day_is_first(text, how))):
        if rows.any():
            found[rows] = _parsed(text[rows], day_first)
    return found


def day_is_first(text: pd.Series, how: Time = "auto") -> bool:
    """Whether 05/01/2023 is the fifth of January: as it is said, else as other dates without points tell, else where
    dates with points are beside them."""
    if how in ("day-first", "month-first"):
        return how == "day-first"
    return (order_of(text[~text.str.match(POINTED)]) or order_of(text)) == "day"


def _parsed(text: pd.Series, day_first: bool) -> pd.Series:
    cleaned = text.str.replace(r"\bGMT([+-]\d)", r"\1", regex=True).str.replace(r"\s*\([^)]*\)\s*$", "", regex=True)
    cleaned = cleaned.str.replace(r"^(\d{2}/[A-Za-z]{3}/\d{4}):", r"\1 ", regex=True)  # access logs
    cleaned = cleaned.str.replace(
        r" (\d{1,2})\.(\d{2})\.(\d{2})(?:\.\d+)?( ?[AaPp][Mm])$", r" \1:\2:\3\4", regex=True
    )  # Oracle
    with_year = cleaned.where(cleaned.str.contains(A_YEAR, regex=True))
    return pd.to_datetime(with_year, errors="coerce", utc=True, format="mixed", dayfirst=day_first)


def order_of(text: pd.Series) -> str:
    """What comes first in dates as 05/01/2023: "day" or "month", or "" where none of them tells (the month is taken,
    unless points part them), or where none is written so."""
    parts = text.str.extract(PARTS)
    if parts[0].isna().all():
        return ""
    if pd.to_numeric(parts[0]).gt(12).any() or text.str.match(POINTED).any():
        return "day"
    return "month" if pd.to_numeric(parts[1]).gt(12).any() else ""


def _since_1970(moments: pd.Series) -> pd.Series:
    """float64 seconds, to the microsecond, of years that nanoseconds do not reach as well."""
    if moments.dt.tz is not None:
        moments = moments.dt.tz_convert("UTC").dt.tz_localize(None)
    micros = moments.to_numpy("datetime64[us]")
    seconds = np.where(np.isnat(micros), np.nan, micros.astype(np.int64) / 1e6)
    return pd.Series(seconds, moments.index, dtype="float64")


def _no_date(where: str, value: str) -> DataError:
    return DataError(
        f"{where} '{value}'",
        rule="a time of day has no date, so it says nothing about what came first",
        fix="Map a column with dates in source.columns.timestamp, or one of dates beside it",
    )
