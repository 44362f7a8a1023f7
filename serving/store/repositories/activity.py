"""What happened to items lately: counts by hour, kept as events are stored and deleted, and read by window."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, delete, func, literal, or_, select

from serving.interfaces import RecentActivity
from serving.store.db.bulk import BulkInsert
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import ItemActivity, UserInteraction

MILLISECONDS_PER_HOUR = 3_600_000
STEPS = 16
"""The decay over a window is a staircase of so many steps."""
HALF_LIVES = 2.0
"""Half-lives in a window: an event from its beginning counts a quarter of one from now."""
Row = tuple[int, str, str, bool]
"""An event as it is counted: when it occurred (milliseconds since 1970), item, type, whether `is_first`."""


def hour_of(moment: int) -> int:
    """Hours since 1970 of a time in milliseconds since 1970."""
    return moment // MILLISECONDS_PER_HOUR


# -- writing ----------------------------------------------------------------------------------------------------------


def add_activity(connection: Connection, rows: Iterable[Row], sign: int = 1) -> None:
    """Count events; with `sign` -1, subtract those that are deleted."""
    events: Counter[tuple[int, str, str]] = Counter()
    users: Counter[tuple[int, str, str]] = Counter()
    for occurred_at, item_id, kind, is_first in rows:
        key = (hour_of(occurred_at), item_id, kind)
        events[key] += sign
        users[key] += sign * is_first
    _ADD(connection, [(*key, number, users[key]) for key, number in sorted(events.items())])


def delete_events(connection: Connection, condition: ColumnElement[bool]) -> int:
    """Delete events and subtract them from the activity of their items; returns how many."""
    columns = (
        UserInteraction.occurred_at,
        UserInteraction.item_id,
        UserInteraction.interaction_type,
        UserInteraction.is_first,
    )
    deleted: Sequence[Any] = connection.execute(delete(UserInteraction).where(condition).returning(*columns)).all()
    if deleted:
        add_activity(connection, [(at, item, kind, bool(is_first)) for at, item, kind, is_first in deleted], -1)
        hours = sorted({hour_of(row[0]) for row in deleted})
        empty = (ItemActivity.hour >= hours[0], ItemActivity.hour <= hours[-1], ItemActivity.events <= 0)
        connection.execute(delete(ItemActivity).where(*empty))
    return len(deleted)


def _add_to_counts(statement: Any) -> Any:
    totals = {
        "events": ItemActivity.events + statement.excluded.events,
        "users": ItemActivity.users + statement.excluded.users,
    }
    return statement.on_conflict_do_update(index_elements=["hour", "item_id", "interaction_type"], set_=totals)


_ADD = BulkInsert(ItemActivity, ("hour", "item_id", "interaction_type", "events", "users"), _add_to_counts)


# -- reading ----------------------------------------------------------------------------------------------------------


class ActivityReader:
    """`ActivitySource` on the store, with a weight for each type of event."""

    def __init__(self, reader: Reader, weights: Mapping[str, float]) -> None:
        self._reader = reader
        self.query = Query("item_activity", _activity(weights))

    def recent(self, hours: int) -> list[RecentActivity]:
        """All items with events in the last so many hours, or in as many before.

        The hour under way is one of them. Raises `StoreError`.
        """
        now = time.time_ns() // 1_000_000
        parameters = {"now": hour_of(now), "hours": hours, "since": hour_of(now) - 2 * hours}
        return [RecentActivity(*row) for row in self._reader.rows(self.query, parameters)]


def _activity(weights: Mapping[str, float]) -> Any:
    now, hours = bindparam("now", type_=ItemActivity.hour.type), bindparam("hours", type_=ItemActivity.hour.type)
    age: ColumnElement[int] = now - ItemActivity.hour
    step = age * STEPS // hours
    in_window = age < hours
    decay = case(
        *((step == place, literal(0.5 ** (HALF_LIVES * place / STEPS))) for place in range(1, STEPS)),
        else_=literal(1.0),
    )
    kinds = [(ItemActivity.interaction_type == name, literal(float(weight))) for name, weight in weights.items()]
    weight = ItemActivity.users * case(*kinds, else_=literal(0.0))
    columns = (
        func.sum(case((in_window, weight * decay), else_=literal(0.0))),
        func.sum(case((in_window, weight), else_=literal(0.0))),
        func.sum(case((in_window, literal(0.0)), else_=weight)),
    )
    liked = or_(*(ItemActivity.interaction_type == name for name, value in weights.items() if value > 0))
    found = (ItemActivity.hour > bindparam("since"), liked, ItemActivity.users > 0)
    return select(ItemActivity.item_id, *columns).where(*found).group_by(ItemActivity.item_id)
