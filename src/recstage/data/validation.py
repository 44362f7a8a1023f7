"""What may come in: every event of a source is checked here, and those that break a rule are named.

By default they are dropped and counted; a strict data set is refused instead. The checks are a handful of passes over
whole columns: of ten million rows they take a third of the time and half of the memory of a schema library's
(docs/decisions/0015-arrow-reads-records-that-we-find.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recstage.config import DataConfig
from recstage.data.event_weights import unweighted
from recstage.data.schema import EVENT_COLUMNS, HELD_OUT, ITEM, TIME, TYPE, USER, VALUE, Places, RawData, Rejected
from recstage.data.tables.values.spellings import one_spelling, respelt, spelling_note
from recstage.errors import DataError, TooLittleData

A_DAY = 86_400
GREATEST_RANK = 2.0**53  # beyond it neighbouring whole numbers are one float
MISSING, IMPOSSIBLE, UNKNOWN, DUPLICATE = "missing", "impossible", "unknown", "duplicate row"
FEW_UNWEIGHTED = 0.1  # share of rows: more of types without a weight are no slip, but a setting that is missing


@dataclass(frozen=True)
class Findings:
    """What was wrong: rows read, rows kept, rows dropped by reason, and the first offending rows of each in words."""

    rows: int
    kept: int
    dropped: dict[str, int]
    first: dict[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        if self.rows != self.kept + self.total:
            raise AssertionError(f"{self.rows} rows read, {self.kept} kept and {self.dropped} dropped")

    @property
    def total(self) -> int:
        return sum(self.dropped.values())

    def __str__(self) -> str:
        return "; ".join(
            f"{count} with {reason} ({', '.join(self.first[reason])})" for reason, count in self.dropped.items()
        )


def clean(raw: RawData, config: DataConfig) -> tuple[RawData, Findings]:
    """The rows that hold, and what was wrong with the others. Raises `DataError` where a column is missing, where types
    of more than a few rows have no weight, where the data set is strict and any row is bad, and where no row holds."""
    raw = _with_one_spelling(raw, config)
    parts = {"events": raw.events, "validation": raw.validation, "test": raw.test}
    given = {name: frame for name, frame in parts.items() if frame is not None}
    _refuse_unweighted(given["events"], config)
    several = raw.ordered and not _one_time(given["events"])
    rules = _Rules(config, latest=time.time() + A_DAY if raw.time_is_clock else GREATEST_RANK, ordered=several)
    checked, rejected = {}, raw.rejected
    for name, frame in given.items():
        checked[name], more = _checked(frame, rules, raw.places, config.name)
        rejected += more
    kept = sum(map(len, checked.values()))
    rows = raw.rows_read if raw.rows_read is not None else sum(map(len, given.values())) + raw.rejected.total
    findings = Findings(rows, kept, dict(rejected.counts), dict(rejected.first))
    refuse(findings, config, len(checked["events"]))
    events = checked["events"]
    ordered = raw.ordered and tells_an_order(events)
    validation, test = checked.get("validation"), checked.get("test")
    return replace(raw, events=events, validation=validation, test=test, ordered=ordered), findings


def known_types(config: DataConfig) -> list[str]:
    """The types that the data set names itself: they are spelt as it does."""
    return [*config.weights, *config.negative_types, HELD_OUT]


def _with_one_spelling(raw: RawData, config: DataConfig) -> RawData:
    """The same events with types that differ in capitals and blanks only as one, and a note of them."""
    parts = (raw.events, raw.validation, raw.test)
    names = {str(one) for part in parts if part is not None and TYPE in part for one in part[TYPE].dropna().unique()}
    spellings = one_spelling(names, known_types(config))
    if not spellings:
        return raw

    def mended(part: pd.DataFrame) -> pd.DataFrame:
        return part.assign(**{TYPE: respelt(part[TYPE], spellings)}) if TYPE in part else part

    return replace(
        raw,
        events=mended(raw.events),
        validation=None if raw.validation is None else mended(raw.validation),
        test=None if raw.test is None else mended(raw.test),
        notes=(*raw.notes, *spelling_note(spellings)),
    )


def refuse(findings: Findings, config: DataConfig, events: int) -> None:
    """Raises `DataError` where the data set is strict and any row is bad, and where no row of `events` holds."""
    if findings.total and config.strict:
        raise DataError(
            f"{config.name}: {findings}",
            rule=f"strict data sets have no bad row, and {findings.total} of {findings.rows} are",
            fix="Mend them, or leave strict off to drop and count them" + _types_hint(findings, config),
        )
    if not events:
        raise DataError(
            f"{config.name}: {findings if findings.total else 'no rows'}",
            rule="a data set needs at least one good row",
            fix="Mend the rows, or correct the mapping of columns and weights" + _types_hint(findings, config),
        )


def refuse_too_little(config: DataConfig, *, users: int, items: int, interactions: int) -> None:
    """Raises `TooLittleData` below the minimum of the data set."""
    minimum = config.minimum
    for what, found, least in (
        ("users", users, minimum.users),
        ("items", items, minimum.items),
        ("interactions", interactions, minimum.interactions),
    ):
        if found < least:
            raise TooLittleData(
                f"{config.name}: {found} {what if found != 1 else what[:-1]}",
                rule=f"the data set's minimum.{what} is {least}",
                fix="Give more data" + (f", or lower minimum.{what}" if least > 2 else ""),
            )


def _one_time(events: pd.DataFrame) -> bool:
    """Whether all times are one, so that they cannot tell two rows apart."""
    if TIME not in events:
        return False
    times = events[TIME].to_numpy(np.float64)
    times = times[~np.isnan(times)]
    return len(times) > 0 and bool(times.min() == times.max())


def tells_an_order(events: pd.DataFrame) -> bool:
    """Whether times say anything: not where all are equal, nor where they are equal within every user with several
    events."""
    times = events[TIME].to_numpy(np.float64)
    if not len(times) or times.min() == times.max():
        return False
    user = _codes(events[USER])[0]
    n = int(user.max()) + 1
    earliest, latest = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(earliest, user, times)
    np.maximum.at(latest, user, times)
    several = np.bincount(user, minlength=n) > 1
    return not several.any() or bool((latest > earliest)[several].any())


def _refuse_unweighted(events: pd.DataFrame, config: DataConfig) -> None:
    if config.default_weight is not None or TYPE not in events:
        return
    counts = events[TYPE].value_counts()
    missing = {str(kind): int(n) for kind, n in counts.items() if n and kind not in {*config.weights, HELD_OUT}}
    if sum(missing.values()) > FEW_UNWEIGHTED * len(events):
        raise unweighted(missing, len(events), config.name)


def _types_hint(findings: Findings, config: DataConfig) -> str:
    unknown = f"{UNKNOWN} {TYPE}" in findings.dropped
    return f"; types with a weight: {', '.join(config.weights)} (or set default_weight)" if unknown else ""


class _Rules:
    """Ids, times and types present; times possible (not before 1970, or rank 0, nor after `latest`); types with a
    weight; no row twice, where times could tell two rows apart."""

    def __init__(self, config: DataConfig, *, latest: float, ordered: bool) -> None:
        self.types = None if config.default_weight is not None else {*config.weights, HELD_OUT}
        self.latest, self.ordered = latest, ordered

    def broken(self, events: pd.DataFrame) -> Iterator[tuple[str, Callable[[], NDArray[np.bool_]]]]:
        """Reasons in the order in which a row is dropped for one of them, each with its rows: bool[n]."""
        for name in (USER, ITEM):
            yield f"{MISSING} {name}", events[name].isna().to_numpy
        times = events[TIME].to_numpy(np.float64)
        yield f"{MISSING} {TIME}", lambda: np.isnan(times)
        yield f"{MISSING} {TYPE}", events[TYPE].isna().to_numpy
        yield f"{IMPOSSIBLE} {TIME}", lambda: (times < 0) | (times > self.latest)
        if self.types is not None:
            yield f"{UNKNOWN} {TYPE}", lambda: ~_is_in(events[TYPE], self.types or set())
        if self.ordered:
            yield DUPLICATE, lambda: duplicated(events)


def _checked(events: pd.DataFrame, rules: _Rules, places: Places, name: str) -> tuple[pd.DataFrame, Rejected]:
    missing = [column for column in EVENT_COLUMNS if column not in events]
    if missing:
        raise DataError(
            f"{name}: columns {', '.join(map(str, events.columns))}",
            rule=f"{', '.join(missing)} missing",
            fix="Map the file's columns to ours in source.columns",
        )
    bad, rejected = np.zeros(len(events), bool), Rejected()
    for reason, rows in rules.broken(events):
        new = rows() & ~bad  # a row counts once, for the first thing that is wrong with it
        if new.any():
            first = np.flatnonzero(new)[: Rejected.SHOWN]
            rejected += Rejected.of(
                reason, int(new.sum()), [described(events, int(at), reason, places) for at in first]
            )
            bad |= new
    return (events[~bad] if bad.any() else events), rejected


def duplicated(events: pd.DataFrame) -> NDArray[np.bool_]:
    """Rows that an earlier one equals in every column: bool[n]. A hash of each row finds the candidates, and these are
    compared."""
    mixed = np.zeros(len(events), np.uint64)
    for column in (USER, ITEM, TYPE):
        mixed = _mix(mixed, _codes(events[column])[0].astype(np.uint64))
    for column in (TIME, VALUE):
        mixed = _mix(mixed, (events[column].to_numpy(np.float64) + 0.0).view(np.uint64))
    same = pd.Series(mixed).duplicated(keep=False).to_numpy()
    found = np.zeros(len(events), bool)
    if same.any():
        found[same] = events[same][list(EVENT_COLUMNS)].duplicated(keep="first").to_numpy()
    return found


def _mix(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A step of splitmix64, in place."""
    one ^= other
    one += np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        one ^= one >> np.uint64(shift)
        one *= np.uint64(factor)
    one ^= one >> np.uint64(31)
    return one


def _codes(column: pd.Series) -> tuple[NDArray[np.integer], pd.Index]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(), column.cat.categories
    codes, names = pd.factorize(column)
    return codes, pd.Index(names)


def _is_in(column: pd.Series, names: set[str]) -> NDArray[np.bool_]:
    codes, values = _codes(column)
    return np.append(values.isin(list(names)), False)[codes]


def described(events: pd.DataFrame, at: int, reason: str, places: Places) -> str:
    """A row that is bad for a reason, in words."""
    user, item, when, what = (events[column].iloc[at] for column in (USER, ITEM, TIME, TYPE))
    user, item = (one if pd.notna(one) else "(none)" for one in (user, item))
    where = f"{places.words(int(events.index[at]))}: user {user}, item {item}"
    if reason.endswith(TIME):
        return f"{where}, {TIME} {when:.0f}" if pd.notna(when) else where
    return f"{where}, {what}" if reason.endswith(TYPE) else where
