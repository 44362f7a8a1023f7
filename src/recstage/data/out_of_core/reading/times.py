"""Numbers as times, by what the least and the greatest of them say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recstage.data.out_of_core.engine import Engine
from recstage.data.out_of_core.reading.column_forms import NeedsWholeColumns
from recstage.data.out_of_core.reading.raw_events import RawEvents
from recstage.data.tables.values.timestamps import A_CLOCK, COMPACT, EXCEL_FROM, EXCEL_UNTIL, FINER


def in_seconds(engine: Engine, raw: RawEvents) -> RawEvents:
    """The same events with times in seconds or ranks. Raises `NeedsWholeColumns` where only all of them could tell."""
    if raw.number_form is None:
        return _by_time(engine, raw)
    given, low, high, ranks = engine.row(
        f"SELECT count(time), min(time), max(time), count(*) FILTER (time < {A_CLOCK}) FROM ({raw.sql}) WHERE lost <> 1"
    )
    if not given:
        raise NeedsWholeColumns("a column of times that is empty")
    if raw.number_form == "milliseconds":
        return _by_time(engine, _with_time(raw, "time / 1e3"))
    if raw.number_form == "seconds":
        return _by_time(engine, raw)
    if raw.number_form == "rank" or _are_ranks(given, low, high, ranks):
        return replace(raw, time_is_clock=False)
    finer = "time"
    for _ in range(3):  # one value may be in a finer unit than another
        finer = f"(CASE WHEN {finer} >= {FINER} THEN {finer} / 1e3 ELSE {finer} END)"
    return _by_time(engine, _with_time(raw, finer) if high >= FINER else raw)


def _are_ranks(given: int, low: float, high: float, ranks: int) -> bool:
    if low >= EXCEL_FROM and high <= EXCEL_UNTIL:
        raise NeedsWholeColumns("numbers that may be days of a spreadsheet")
    digits = len(f"{high:.0f}")
    if digits in COMPACT and len(f"{low:.0f}") == digits and 1970 <= int(f"{low:.0f}"[:4]) <= 2100:
        raise NeedsWholeColumns("numbers that may be dates without marks")
    if 0 < ranks < given and abs(2 * ranks - given) <= 2:
        raise NeedsWholeColumns("times and ranks in one column")
    return 2 * ranks > given


def _with_time(raw: RawEvents, sql: str) -> RawEvents:
    return replace(raw, sql=f"SELECT * REPLACE ({sql} AS time) FROM ({raw.sql})")


def _by_time(engine: Engine, raw: RawEvents) -> RawEvents:
    if not raw.time_is_clock or raw.index is not None:
        return raw
    (fractions,) = engine.row(f"SELECT bool_or(time <> floor(time)) FROM ({raw.sql}) WHERE lost <> 1")
    return replace(raw, by_time=bool(np.bool_(fractions or False)))
