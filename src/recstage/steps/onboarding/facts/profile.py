"""What a file of events holds, once it is clean: counts, times, types, values, users by history, items that join."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recstage.data.report.distributions import gini, top_share
from recstage.data.schema import ITEM, TIME, TYPE, USER, VALUE, RawData
from recstage.data.segments import SEGMENTS, segments_of
from recstage.data.validation import Findings

COLD_BELOW, HOT_FROM = 5, 20  # as conf/evaluation.yaml has them
SESSION_SECONDS = 1800
SHOWN = 5
FEW_STEPS = 25


@dataclass(frozen=True)
class Values:
    """The values of one type: `high` is the 95th percentile; `different` counts them up to a scale of `FEW_STEPS`, and
    `step` is the least distance of two on such a scale (None: no scale)."""

    filled: int
    least: float
    middle: float
    high: float
    greatest: float
    different: int
    step: float | None
    negative: int


@dataclass(frozen=True)
class Join:
    """How events and items file join: items with events that the file describes, items in the file, the first ids that
    do not join, and those of the file; `hint`: what would make them join."""

    described: int
    in_file: int
    unjoined: list[str]
    first_in_file: list[str]
    hint: str = ""


@dataclass(frozen=True)
class Profile:
    """Counts of clean rows, as `prepare` will count them. `duplicates`: rows that an earlier one equals (dropped where
    the data is ordered); `repeats`: further events of a pair. `ties`: share of the events with the time of another one
    of the same user. `first`, `last` are None where times are no clock's. `sessions`: stretches of one user without a
    pause of half an hour. `one_event`, `one_item`: users with so many. `segments`: users by their events."""

    rows: int
    kept: int
    dropped: dict[str, int]
    first_dropped: dict[str, list[str]]
    users: int
    items: int
    pairs: int
    density: float
    duplicates: int
    repeats: int
    types: dict[str, int]
    values: dict[str, Values]
    ordered: bool
    is_clock: bool
    ties: float | None
    first: datetime | None
    last: datetime | None
    sessions: int | None
    events_a_session: float | None
    events_a_user: dict[str, float]
    top_1: float
    top_10: float
    gini: float
    segments: dict[str, int]
    one_event: int
    one_item: int
    join: Join | None
    notes: list[str] = field(default_factory=list)

    @property
    def items_described(self) -> int:
        """Items with events that the items file describes."""
        return self.join.described if self.join is not None else 0


def profile_of(raw: RawData, findings: Findings, join: Join | None) -> Profile:
    """The profile of clean rows, those of a test file included."""
    parts = [frame for frame in (raw.events, raw.validation, raw.test) if frame is not None]
    events = (
        parts[0] if len(parts) == 1 else pd.concat([part.astype({USER: str, ITEM: str, TYPE: str}) for part in parts])
    )
    user, users = pd.factorize(events[USER])
    item, items = pd.factorize(events[ITEM])
    per_user, per_item = np.bincount(user, minlength=1), np.bincount(item, minlength=1)
    keys = np.unique(user.astype(np.int64) * max(len(items), 1) + item)
    clock = raw.time_is_clock and raw.ordered
    sessions = _sessions(user, events[TIME].to_numpy(float)) if clock else None
    segments = segments_of(per_user, COLD_BELOW, HOT_FROM)
    return Profile(
        rows=findings.rows,
        kept=findings.kept,
        dropped=dict(findings.dropped),
        first_dropped={reason: list(rows) for reason, rows in findings.first.items()},
        users=len(users),
        items=len(items),
        pairs=len(keys),
        density=len(keys) / max(len(users) * len(items), 1),
        duplicates=findings.dropped.get("duplicate row", 0),
        repeats=len(events) - len(keys),
        types={str(key): int(count) for key, count in events[TYPE].value_counts().items() if count},
        values=_values(events),
        ordered=raw.ordered,
        is_clock=clock,
        ties=_ties(user, events[TIME].to_numpy(float)) if raw.ordered else None,
        first=_moment(events[TIME].min()) if clock else None,
        last=_moment(events[TIME].max()) if clock else None,
        sessions=sessions,
        events_a_session=len(events) / sessions if sessions else None,
        events_a_user={f"{share:.0%}": float(np.quantile(per_user, share)) for share in (0.05, 0.5, 0.95, 1.0)},
        top_1=top_share(per_item, 0.01),
        top_10=top_share(per_item, 0.1),
        gini=gini(per_item),
        segments={name: int((segments == name).sum()) for name in SEGMENTS},
        one_event=int((per_user == 1).sum()),
        one_item=int((np.bincount(keys // max(len(items), 1), minlength=1) == 1).sum()),
        join=join,
        notes=list(raw.notes),
    )


def join_of(raw: RawData) -> Join | None:
    """How the items with events and the items file join; None without such a file."""
    if raw.items is None:
        return None
    parts = [frame[ITEM] for frame in (raw.events, raw.validation, raw.test) if frame is not None]
    with_events = list(dict.fromkeys(str(one) for part in parts for one in part.unique()))
    known = set(raw.items[ITEM].astype(str))
    unjoined = [one for one in with_events if one not in known]
    hint = _hint(unjoined, known) if len(unjoined) * 2 > len(with_events) else ""
    in_file = raw.items[ITEM].astype(str).head(SHOWN).tolist()
    return Join(len(with_events) - len(unjoined), len(known), unjoined[:SHOWN], in_file, hint)


def _hint(unjoined: list[str], known: set[str]) -> str:
    for fix, plainly in (
        ("they join where zeros in front are left out: source.ids: number", lambda one: one.lstrip("0") or "0"),
        ("they join where capitals are as small letters: write them alike in both files", str.casefold),
        (
            "they join without marks and blanks: write them alike in both files",
            lambda one: "".join(filter(str.isalnum, one)),
        ),
    ):
        plain = {plainly(one) for one in known}
        if sum(plainly(one) in plain for one in unjoined) * 2 > len(unjoined):
            return fix
    return ""


def _values(events: pd.DataFrame) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for name, values in events[VALUE].groupby(events[TYPE].astype(str)):
        given = values.dropna().to_numpy(np.float64)
        if not len(given):
            continue
        scale = np.unique(given)
        middle, high = np.quantile(given, (0.5, 0.95))
        step = float(np.diff(scale).min()) if 1 < len(scale) <= FEW_STEPS else None
        found[str(name)] = Values(
            len(given),
            float(scale[0]),
            float(middle),
            float(high),
            float(scale[-1]),
            len(scale),
            step,
            int((given < 0).sum()),
        )
    return found


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)


def _sessions(user: NDArray[np.int64], time: NDArray[np.float64]) -> int:
    order = np.lexsort((time, user))
    same = user[order][1:] == user[order][:-1]
    near = np.diff(time[order]) <= SESSION_SECONDS
    return len(user) - int((same & near).sum())


def _ties(user: NDArray[np.int64], time: NDArray[np.float64]) -> float:
    order = np.lexsort((time, user))
    same = (user[order][1:] == user[order][:-1]) & (np.diff(np.floor(time[order])) == 0)
    tied = np.zeros(len(user), bool)
    tied[1:] |= same
    tied[:-1] |= same
    return float(tied.mean()) if len(tied) else 0.0


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """Counts as shares of their sum."""
    total = max(sum(counts.values()), 1)
    return {name: count / total for name, count in counts.items()}
