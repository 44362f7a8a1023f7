"""What may come in: every row of a source is checked here, and those that break the schema are named.

By default they are dropped and counted; a strict data set is refused instead. The schema is written with pandera.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from recstage.config import DataConfig
from recstage.data.schema import EVENT_COLUMNS, HELD_OUT, ITEM, TIME, TYPE, USER, RawData, Unparsable
from recstage.errors import DataError

A_DAY = 86_400
GREATEST_RANK = 2.0**53  # beyond it neighbouring whole numbers are one float
NULL, IMPOSSIBLE, UNKNOWN, DUPLICATE = "missing", "impossible", "unknown", "duplicate row"
UNPARSABLE = "unparsable row"


@dataclass(frozen=True)
class Findings:
    """What was wrong: rows read, rows dropped by reason, and the first offending rows of each reason in words."""

    rows: int
    dropped: dict[str, int]
    first: dict[str, tuple[str, ...]]

    @property
    def total(self) -> int:
        return sum(self.dropped.values())

    def __str__(self) -> str:
        return "; ".join(
            f"{count} with {reason} ({', '.join(self.first[reason])})" for reason, count in self.dropped.items()
        )


def schema_of(types: Iterable[str], *, latest: float) -> pa.DataFrameSchema:
    """The schema of events: ids and times present, times possible (not before 1970, or rank 0, nor after `latest`),
    types among `types`, no row twice."""
    return pa.DataFrameSchema(
        {
            USER: pa.Column(nullable=False),
            ITEM: pa.Column(nullable=False),
            TIME: pa.Column(checks=pa.Check.in_range(0, latest), nullable=False),
            TYPE: pa.Column(checks=pa.Check.isin(list(types)), nullable=False),
        },
        unique=list(EVENT_COLUMNS),
        report_duplicates="exclude_first",
    )


def clean(raw: RawData, config: DataConfig) -> tuple[RawData, Findings]:
    """The rows that hold, and what was wrong with the others. Raises `DataError` where a column is missing, where the
    data set is strict and any row is bad, and where no row holds."""
    schema = schema_of((*config.weights, HELD_OUT), latest=time.time() + A_DAY if raw.time_is_clock else GREATEST_RANK)
    events, findings = _checked(raw.events, schema, raw.unparsable, config.name)
    test = raw.test
    if test is not None:
        test, of_test = _checked(test, schema, Unparsable(), config.name)
        findings = _joined(findings, of_test)
    if findings.total and config.strict:
        raise DataError(
            f"{config.name}: {findings}",
            rule=f"strict data sets have no bad row, and {findings.total} of {findings.rows} are",
            fix="Mend them, or leave strict off to drop and count them" + _types_hint(findings, config),
        )
    if not len(events):
        raise DataError(
            f"{config.name}: {findings if findings.total else 'no rows'}",
            rule="a data set needs at least one good row",
            fix="Mend the rows, or correct the mapping of columns and weights" + _types_hint(findings, config),
        )
    return replace(raw, events=events, test=test), findings


def _types_hint(findings: Findings, config: DataConfig) -> str:
    unknown = f"{UNKNOWN} {TYPE}" in findings.dropped
    return f"; types with a weight: {', '.join(config.weights)}" if unknown else ""


def _checked(
    events: pd.DataFrame, schema: pa.DataFrameSchema, unparsable: Unparsable, name: str
) -> tuple[pd.DataFrame, Findings]:
    missing = [column for column in EVENT_COLUMNS if column not in events]
    if missing:
        raise DataError(
            f"{name}: columns {', '.join(map(str, events.columns))}",
            rule=f"{', '.join(missing)} missing",
            fix="Map the file's columns to ours in source.columns",
        )
    index = events.index
    events = events.reset_index(drop=True)
    reasons: dict[str, pd.Index] = {}
    try:
        schema.validate(events, lazy=True)
    except SchemaErrors as error:
        reasons = _reasons(error.failure_cases)
    dropped = {UNPARSABLE: unparsable.count} if unparsable.count else {}
    first = {UNPARSABLE: unparsable.first} if unparsable.count else {}
    bad = pd.Series(False, index=events.index)
    for reason, rows in reasons.items():
        rows = rows[~bad[rows].to_numpy()]  # a row counts once, for the first thing that is wrong with it
        if len(rows):
            bad[rows] = True
            dropped[reason] = len(rows)
            first[reason] = tuple(_described(events, index, row, reason) for row in rows[: Unparsable.SHOWN])
    findings = Findings(len(events) + unparsable.count, dropped, first)
    return (events[~bad] if len(bad) and bad.any() else events).set_axis(index[~bad.to_numpy()]), findings


def _reasons(cases: pd.DataFrame) -> dict[str, pd.Index]:
    """Rows by reason, from pandera's failure cases."""
    named = cases[cases["index"].notna()]
    checks = named["check"].astype(str)
    duplicate = checks.str.contains("multiple_fields_uniqueness")
    absent = checks.eq("not_nullable")
    reasons: dict[str, pd.Index] = {}
    for column in (USER, ITEM, TIME, TYPE):
        rows = named[named["column"].eq(column) & absent & ~duplicate]
        if len(rows):
            reasons[f"{NULL} {column}"] = _sorted_rows(rows)
    for check, column in ((IMPOSSIBLE, TIME), (UNKNOWN, TYPE)):
        rows = named[named["column"].eq(column) & ~absent & ~duplicate]
        if len(rows):
            reasons[f"{check} {column}"] = _sorted_rows(rows)
    if duplicate.any():
        reasons[DUPLICATE] = _sorted_rows(named[duplicate])
    return reasons


def _sorted_rows(cases: pd.DataFrame) -> pd.Index:
    return pd.Index(cases["index"].astype("int64").unique()).sort_values()


def _described(events: pd.DataFrame, index: pd.Index, row: int, reason: str) -> str:
    values: dict[Any, Any] = events.loc[row].to_dict()
    user, item, when, what = (values[column] for column in (USER, ITEM, TIME, TYPE))
    where = f"line {index[row]}: user {user}, item {item}"
    if reason.endswith(TIME):
        return f"{where}, {TIME} {when:.0f}" if pd.notna(when) else where
    return f"{where}, {what}" if reason.endswith(TYPE) else where


def _joined(a: Findings, b: Findings) -> Findings:
    dropped = {reason: a.dropped.get(reason, 0) + b.dropped.get(reason, 0) for reason in (*a.dropped, *b.dropped)}
    first = {
        reason: (a.first.get(reason, ()) + b.first.get(reason, ()))[: Unparsable.SHOWN]
        for reason in (*a.first, *b.first)
    }
    return Findings(a.rows + b.rows, dropped, first)
