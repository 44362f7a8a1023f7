"""Column names, written once: the tables that every source delivers."""

from __future__ import annotations

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
EVENT_COLUMNS = (USER, ITEM, TIME, TYPE, VALUE)


@dataclass(frozen=True)
class Unparsable:
    """Lines of a source that are no rows: how many, and the first of them in words."""

    SHOWN: ClassVar[int] = 3

    count: int = 0
    first: tuple[str, ...] = ()

    def __add__(self, other: Unparsable) -> Unparsable:
        return Unparsable(self.count + other.count, (self.first + other.first)[: self.SHOWN])


@dataclass(frozen=True)
class RawData:
    """What a source delivers.

    `events`: user_id, item_id, interaction_type (text, or categoricals of text), timestamp (float64 seconds, or a rank;
    NaN where missing), value (float64, NaN where the type has none); its index says where a row stands in the source (a
    line number, or a position). `items`: item_id and any of title, text, categories (lists), available. `test` (same
    columns as events) and `negatives` (user_id, item_id: sampled candidates) where the source brings its own split.
    `time_is_clock` is false where timestamps are ranks. `unparsable`: lines that are no rows at all.
    """

    events: pd.DataFrame
    items: pd.DataFrame | None = None
    test: pd.DataFrame | None = None
    negatives: pd.DataFrame | None = None
    time_is_clock: bool = True
    unparsable: Unparsable = Unparsable()
    metadata: dict = field(default_factory=dict)
