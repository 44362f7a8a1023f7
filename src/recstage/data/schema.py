"""Column names, written once: the tables that every source delivers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

USER = "user_id"
ITEM = "item_id"
TIME = "timestamp"
TYPE = "interaction_type"
VALUE = "value"
WEIGHT = "weight"
EVENT_COLUMNS = (USER, ITEM, TIME, TYPE, VALUE)


@dataclass(frozen=True)
class RawData:
    """What a source delivers.

    `events`: user_id (text), item_id (text), timestamp (int64 seconds, or a rank), interaction_type (text), value
    (float, NaN where the type has none). `items`: item_id and any of title, text, categories (lists), available.
    `test` (same columns as events) and `negatives` (user_id, item_id: sampled candidates) where the source brings its own
    split. `time_is_clock` is false where timestamps are ranks.
    """

    events: pd.DataFrame
    items: pd.DataFrame | None = None
    test: pd.DataFrame | None = None
    negatives: pd.DataFrame | None = None
    time_is_clock: bool = True
    metadata: dict = field(default_factory=dict)
