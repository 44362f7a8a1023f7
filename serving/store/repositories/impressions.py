"""What was shown: queued by the answering side, stored in batches when there is time, dropped and counted when not.

A list is one row, and each item has a count of the lists that hold it. A row an item, under a key and in three indexes,
took two to three times the processor time (docs/decisions/0011-a-shown-list-is-one-row.md).
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
from serving.store.repositories.events import RefusedPeople, add_items, add_users, now_ms

_LISTS_AT_ONCE = 200  # of one transaction: acknowledged events share it and must not wait long
Count = Callable[[str, int], None]
"""Called with `kept` or `dropped` and a number of lists."""


class Impressions:
    """`ImpressionSink`, and the backlog of the writer. Holds at most `most` lists."""

    def __init__(self, wake: Callable[[], None], count: Count, *, most: int = 5_000) -> None:
        self._wake, self._count, self._most = wake, count, most
        self._waiting: OrderedDict[str, Impression] = OrderedDict()
        self._lock = threading.Lock()

    def record(self, shown: Impression) -> None:
        """Queue a list. Never blocks on the database and never raises."""
        with self._lock:
            full = len(self._waiting) >= self._most
            if not full:
                self._waiting.setdefault(shown.request_id, shown)
        if full:
            self._count("dropped", 1)
        else:
            self._wake()

    def take(self) -> WriteImpressions | None:
        """The oldest lists."""
        with self._lock:
            some = [self._waiting.popitem(last=False)[1] for _ in range(min(_LISTS_AT_ONCE, len(self._waiting)))]
        return WriteImpressions(some, self._count) if some else None

    def failed(self, task: WriteImpressions) -> None:
        """The database refused: try these again unless newer ones fill the queue."""
        with self._lock:
            room = max(0, self._most - len(self._waiting))
            kept = task.lists[len(task.lists) - room :] if room < len(task.lists) else task.lists
            for shown in reversed(kept):
                self._waiting[shown.request_id] = shown
                self._waiting.move_to_end(shown.request_id, last=False)
        if len(kept) < len(task.lists):
            self._count("dropped", len(task.lists) - len(kept))

    def give_up(self) -> None:
        """Nobody will store what still waits."""
        with self._lock:
            left = len(self._waiting)
            self._waiting.clear()
        if left:
            self._count("dropped", left)

    def waiting(self, request_id: str) -> Impression | None:
        """One list that waits, to be stored at once; it is passed over when its turn comes."""
        with self._lock:
            return self._waiting.get(request_id)

    def forget(self, user_id: str) -> int:
        """Take out everything of one person."""
        with self._lock:
            his = [request_id for request_id, shown in self._waiting.items() if shown.user_id == user_id]
            for request_id in his:
                del self._waiting[request_id]
        return len(his)

    def __len__(self) -> int:
        return len(self._waiting)


class WriteImpressions(Task[None]):
    """Store lists. Those of people who opted out or were erased since are left out, and those whose request is stored
    already (a caller that sends one X-Request-ID twice)."""

    name = "impressions"

    def __init__(self, lists: Sequence[Impression], count: Count) -> None:
        self.lists, self._count = list(lists), count

    def run(self, connection: Connection) -> None:
        people = {shown.user_id for shown in self.lists}
        refused = RefusedPeople.among(connection, people)
        stored = {request_id for (request_id,) in _STORED(connection, [shown.request_id for shown in self.lists])}
        kept = [
            shown
            for shown in self.lists
            if shown.request_id not in stored and not refused.refuses(shown.user_id, shown.timestamp * 1000)
        ]
        now = now_ms()
        exposed = Counter(item_id for shown in kept for item_id in shown.item_ids)
        add_users(connection, {shown.user_id for shown in kept} & refused.strangers, now, refused.erased)
        add_items(connection, exposed, now)
        _INSERT(connection, [_row(shown) for shown in kept])
        _EXPOSE(connection, sorted(exposed.items()))
        self._count("kept", len(kept))


def drop_lists(connection: Connection, those: ColumnElement[bool]) -> int:
    """Remove lists, and take them off their items' counts. How many."""
    statement = delete(RecommendationImpression).where(those).returning(RecommendationImpression.items)
    dropped = connection.execute(statement).scalars().all()
    exposed = Counter(item_id for items in dropped for item_id, _, _ in items)
    _EXPOSE(connection, [(item_id, -number) for item_id, number in sorted(exposed.items())])
    return len(dropped)


def _row(shown: Impression) -> tuple:
    items = orjson.dumps(list(zip(shown.item_ids, shown.scores, shown.propensities, strict=True)))
    if b"null" in items:  # a score that is no number
        scores = (score if math.isfinite(score) else 0.0 for score in shown.scores)
        items = orjson.dumps(list(zip(shown.item_ids, scores, shown.propensities, strict=True)))
    return (
        shown.request_id,
        shown.user_id,
        items.decode(),
        shown.method,
        shown.model_version,
        shown.timestamp * 1000,
    )


def _added_up(statement: Any) -> Any:
    total = ItemExposure.shown + statement.excluded.shown
    return statement.on_conflict_do_update(index_elements=["item_id"], set_={"shown": total})


_KEY = RecommendationImpression.request_id
_STORED = Lookup(lambda given: select(_KEY).where(_KEY.in_(select(given.c.value))))
_INSERT = BulkInsert(
    RecommendationImpression, ("request_id", "user_id", "items", "method", "model_version", "shown_at")
)
_EXPOSE = BulkInsert(ItemExposure, ("item_id", "shown"), _added_up)
