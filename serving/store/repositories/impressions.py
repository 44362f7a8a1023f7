"""Impressions: queued while a request is answered, written in batches, dropped and counted when the queue is full.

An impression is one row for the whole list, and each item has a count of its impressions. One row for each item, under
a key and in three indexes, took two to three times the processor time: the benchmark is in
docs/decisions/0011-one-row-per-shown-list.md.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, delete, select

from serving.interfaces import Impression
from serving.store.db.bulk import BulkInsert, Lookup
from serving.store.db.tables import ItemExposure, RecommendationImpression
from serving.store.db.writer import Task
from serving.store.repositories.events import RefusedUsers, add_items, add_users, now_ms

_BATCH = 200  # impressions of one transaction: acknowledged events share it and must not wait long
Count = Callable[[str, int], None]
"""Called with `kept` or `dropped` and a number of impressions."""


class ImpressionQueue:
    """`ImpressionSink`, and the backlog of the writer. Holds at most `max_size` impressions."""

    def __init__(self, wake: Callable[[], None], count: Count, *, max_size: int = 5_000) -> None:
        self._wake, self._count, self._max_size = wake, count, max_size
        self._queue: OrderedDict[str, Impression] = OrderedDict()
        self._lock = threading.Lock()

    def record(self, impression: Impression) -> None:
        """Queue an impression. Never blocks on the database and never raises."""
        with self._lock:
            full = len(self._queue) >= self._max_size
            if not full:
                self._queue.setdefault(impression.request_id, impression)
        if full:
            self._count("dropped", 1)
        else:
            self._wake()

    def take(self) -> WriteImpressions | None:
        """A task for the oldest impressions, None where none is queued."""
        with self._lock:
            oldest = [self._queue.popitem(last=False)[1] for _ in range(min(_BATCH, len(self._queue)))]
        return WriteImpressions(oldest) if oldest else None

    def written(self, task: WriteImpressions) -> None:
        """Count the impressions of a task, whose transaction is committed."""
        self._count("kept", task.kept)

    def failed(self, task: WriteImpressions) -> None:
        """Queue the impressions of a failed task again, as far as newer ones leave room."""
        with self._lock:
            room = max(0, self._max_size - len(self._queue))
            kept = task.impressions[max(0, len(task.impressions) - room) :]
            for impression in reversed(kept):
                self._queue[impression.request_id] = impression
                self._queue.move_to_end(impression.request_id, last=False)
        if len(kept) < len(task.impressions):
            self._count("dropped", len(task.impressions) - len(kept))

    def discard(self) -> None:
        """Drop and count what is still queued, at the end of the process."""
        with self._lock:
            left = len(self._queue)
            self._queue.clear()
        if left:
            self._count("dropped", left)

    def queued(self, request_id: str) -> Impression | None:
        """A queued impression, to be stored at once; the batch writer later skips it as stored."""
        with self._lock:
            return self._queue.get(request_id)

    def forget(self, user_id: str) -> int:
        """Remove what is queued of one user; returns how many impressions."""
        with self._lock:
            request_ids = [request_id for request_id, found in self._queue.items() if found.user_id == user_id]
            for request_id in request_ids:
                del self._queue[request_id]
        return len(request_ids)

    def __len__(self) -> int:
        return len(self._queue)


class WriteImpressions(Task[None]):
    """Store impressions.

    Left out are those of users who opted out or were erased since, and those whose request id is stored already
    (a caller that sends one X-Request-ID twice).
    """

    name = "impressions"

    def __init__(self, impressions: Sequence[Impression]) -> None:
        self.impressions = list(impressions)
        self.kept = 0

    def run(self, connection: Connection) -> None:
        user_ids = {one.user_id for one in self.impressions}
        refused = RefusedUsers.among(connection, user_ids)
        stored = {request_id for (request_id,) in _STORED(connection, [one.request_id for one in self.impressions])}
        kept = [
            one
            for one in self.impressions
            if one.request_id not in stored and not refused.refuses(one.user_id, one.timestamp * 1000)
        ]
        now = now_ms()
        exposed = Counter(item_id for one in kept for item_id in one.item_ids)
        add_users(connection, {one.user_id for one in kept} & refused.unknown, now, refused.erased)
        add_items(connection, exposed, now)
        _INSERT(connection, [_row(one) for one in kept])
        _ADD_EXPOSURES(connection, sorted(exposed.items()))
        self.kept = len(kept)


def delete_impressions(connection: Connection, condition: ColumnElement[bool]) -> int:
    """Delete impressions and subtract them from the counts of their items; returns how many."""
    statement = delete(RecommendationImpression).where(condition).returning(RecommendationImpression.items)
    deleted = connection.execute(statement).scalars().all()
    exposed = Counter(item_id for items in deleted for item_id, _, _ in items)
    _ADD_EXPOSURES(connection, [(item_id, -number) for item_id, number in sorted(exposed.items())])
    return len(deleted)


def _row(impression: Impression) -> tuple:
    items = orjson.dumps(list(zip(impression.item_ids, impression.scores, impression.propensities, strict=True)))
    if b"null" in items:  # a score that is no number
        scores = (score if math.isfinite(score) else 0.0 for score in impression.scores)
        items = orjson.dumps(list(zip(impression.item_ids, scores, impression.propensities, strict=True)))
    return (
        impression.request_id,
        impression.user_id,
        items.decode(),
        impression.method,
        impression.model_version,
        impression.timestamp * 1000,
        impression.experiment,
        impression.arm,
        impression.chance,
        None if impression.teams is None else orjson.dumps(impression.teams).decode(),
        impression.milliseconds,
        impression.segment,
    )


def _add_to_count(statement: Any) -> Any:
    total = ItemExposure.shown + statement.excluded.shown
    return statement.on_conflict_do_update(index_elements=["item_id"], set_={"shown": total})


_KEY = RecommendationImpression.request_id
_STORED = Lookup(lambda given: select(_KEY).where(_KEY.in_(select(given.c.value))))
_INSERT = BulkInsert(
    RecommendationImpression,
    (
        *("request_id", "user_id", "items", "method", "model_version", "shown_at"),
        *("experiment", "arm", "chance", "teams", "milliseconds", "segment"),
    ),
)
_ADD_EXPOSURES = BulkInsert(ItemExposure, ("item_id", "shown"), _add_to_count)
