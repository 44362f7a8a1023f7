"""Column names, written once: the tables that every source delivers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import pandas as pd

USER = "user_id"
ITEM = "item_id"
TIME = "timestamp"
TYPE = "interaction_type"
VALUE = "value"
HELD_OUT = "held-out"
"""The interaction type of test rows that come without one: worth 1, whatever the data set's weights."""
CONTEXT = "context."
"""Before the names of columns of events that say something of their moment (device, page, ...)."""
EVENT_COLUMNS = (USER, ITEM, TIME, TYPE, VALUE)


@dataclass(frozen=True)
class Rejected:
    """Rows that a reader left out: how many by reason, and the first of each in words."""

    SHOWN: ClassVar[int] = 3

    counts: Mapping[str, int] = field(default_factory=dict)
    first: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, reason: str, count: int, first: Iterable[str]) -> Rejected:
        """`count` rows for one reason; nothing where it is 0."""
        return cls({reason: count}, {reason: tuple(first)[: cls.SHOWN]}) if count else cls()

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def __add__(self, other: Rejected) -> Rejected:
        reasons = [*self.counts, *(reason for reason in other.counts if reason not in self.counts)]
        return Rejected(
            {reason: self.counts.get(reason, 0) + other.counts.get(reason, 0) for reason in reasons},
            {reason: (self.first.get(reason, ()) + other.first.get(reason, ()))[: self.SHOWN] for reason in reasons},
        )


@dataclass(frozen=True)
class Places:
    """Where rows stand in their files. A position is a line (or row) number; of several files, the number of the file
    is in the bits above `BITS`."""

    BITS: ClassVar[int] = 40

    labels: tuple[str, ...] = ()
    unit: str = "line"

    def words(self, position: int) -> str:
        """A position as messages call it: "line 7", or "part-2.csv line 7"."""
        file, number = position >> self.BITS, position & ((1 << self.BITS) - 1)
        return f"{self.labels[file]} {self.unit} {number}" if len(self.labels) > 1 else f"{self.unit} {number}"


NONE_REJECTED, ONE_FILE = Rejected(), Places()


@dataclass(frozen=True)
class RawData:
    """What a source delivers.

    `events`: user_id, item_id, interaction_type (text, or categoricals of text), timestamp (float64 seconds, or a rank;
    NaN where missing), value (float64, NaN where the type has none), and what they said of their moment
    (`context.NAME`); its index says where a row stands in the source (a position of `places`). `items`: item_id and any
    of title, text, categories (lists), available, and attributes. `users`: user_id and attributes.
    `test` and `validation` (same columns as events) and `negatives` (user_id, item_id: sampled candidates) where the
    source brings its own split. `time_is_clock` is false where timestamps are ranks; `ordered` is false where nothing
    says what came first. `rows_read` counts what the files hold (None: all of `events` and `test`), `rejected` those
    of them that no table holds; `items_rejected` the same of the items. `notes`: what else a reader has to say.
    `exposures`: what was shown to whom, where the source knows (`recstage.data.snapshots.exposures.by_pair`).
    """

    events: pd.DataFrame
    items: pd.DataFrame | None = None
    users: pd.DataFrame | None = None
    test: pd.DataFrame | None = None
    validation: pd.DataFrame | None = None
    negatives: pd.DataFrame | None = None
    time_is_clock: bool = True
    ordered: bool = True
    rows_read: int | None = None
    rejected: Rejected = NONE_REJECTED
    items_rejected: Rejected = NONE_REJECTED
    places: Places = ONE_FILE
    notes: tuple[str, ...] = ()
    metadata: dict = field(default_factory=dict)
    exposures: pd.DataFrame | None = None
