"""All collected data, for the fallback models that the service fits on it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pandas as pd
from sqlalchemy import func, select

from recstage.config import DataConfig
from serving.interfaces import Snapshot
from serving.store.db.connection import open_engine, translate_errors
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import Counter, UserInteraction

_NEWEST = Query("newest_event", select(func.max(UserInteraction.id)))
_COUNTERS = Query("counters", select(Counter.value).order_by(Counter.name))


class TrainingSnapshot:
    """`TrainingDataSource` on the store: the data that retraining reads, aggregated by the same code."""

    def __init__(self, reader: Reader, data: DataConfig, observe: Callable[[str, float], None]) -> None:
        self._reader, self._data, self._observe = reader, data, observe

    def version(self) -> int:
        """A number that changes with every new event, item and user setting. Raises `StoreError`."""
        newest = self._reader.rows(_NEWEST)[0][0] or 0
        return hash((newest, *(value for (value,) in self._reader.rows(_COUNTERS))))

    def snapshot(self) -> Snapshot:
        """All data that may be used, one row for each (user, item) pair. Raises `StoreError`."""
        # imported here, because only a service without a Production version needs them
        from recstage.data import event_weights
        from recstage.data.sources import service

        began = time.perf_counter()
        version = self.version()  # read first: an event that comes meanwhile is then read twice, which is harmless
        engine = open_engine(self._reader.current().url, pooled=False, statements=False)
        with translate_errors(engine.url), engine.connect() as connection:
            raw = service.read_from(connection)
        if len(raw.events):
            pairs = event_weights.to_log(raw, self._data).aggregate(self._data.aggregate).to_frame()
        else:
            pairs = pd.DataFrame(columns=["user_id", "item_id", "weight", "timestamp"])
        self._observe("snapshot", time.perf_counter() - began)
        return Snapshot(pairs, pd.DataFrame() if raw.items is None else raw.items, version)
