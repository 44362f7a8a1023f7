"""What happened to items: counts by hour and over all time, kept as events are stored and deleted.

Those by hour are read here, by window; the others are those of an item's statistics.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, delete, func, literal, or_, select

from serving.interfaces import RecentActivity
from serving.store.db.bulk import BulkInsert, RowLookup, among
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import ItemActivity, ItemCount, ItemValueCount, User, UserInteraction, UserPattern

MILLISECONDS_PER_HOUR = 3_600_000
STEPS = 16
"""The decay over a window is a staircase of so many steps."""
HALF_LIVES = 2.0
"""Half-lives in a window: an event from its beginning counts a quarter of one from now."""
HIGHEST = 256
"""Values are counted by their whole part up to this."""
ANY = ""
"""The type under which `item_counts` holds an item's events of all types."""
Row = tuple[int, str, str, float | None, bool]
"""An event as it is counted: when it occurred (milliseconds since 1970), item, type, value, whether `is_first`."""
Users = Mapping[tuple[str, str], int]
"""Changes of the number of distinct users, by item and type, `ANY` included."""


def hour_of(moment: int) -> int:
    """Hours since 1970 of a time in milliseconds since 1970."""
    return moment // MILLISECONDS_PER_HOUR


# -- writing ----------------------------------------------------------------------------------------------------------


def add_events(connection: Connection, rows: Iterable[Row], new_users: Users) -> None:
    """Count events that are stored."""
    _add(connection, rows, new_users, 1)


def delete_events(connection: Connection, condition: ColumnElement[bool]) -> int:
    """Delete events and subtract them from the counts of their items; returns how many."""
    columns = (
        UserInteraction.occurred_at,
        UserInteraction.item_id,
        UserInteraction.interaction_type,
        UserInteraction.value,
        UserInteraction.is_first,
        UserInteraction.user_id,
    )
    deleted: Sequence[Any] = connection.execute(delete(UserInteraction).where(condition).returning(*columns)).all()
    if deleted:
        # a writer that takes an event of one of these users meanwhile sees all events deleted, or is seen
        users = {row[5] for row in deleted}
        locked = select(User.user_id).where(among(connection, User.user_id, users))
        connection.execute(locked.order_by(User.user_id).with_for_update()).all()
        connection.execute(
            delete(UserPattern).where(among(connection, UserPattern.user_id, {row[5] for row in deleted}))
        )
        lost = _lost_users(connection, {(user, item, kind) for _, item, kind, _, _, user in deleted})
        _add(connection, [(*row[:4], bool(row[4])) for row in deleted], lost, -1)
        _drop_empty(connection, deleted)
    return len(deleted)


def new_users(connection: Connection, triples: Iterable[tuple[str, str, str]]) -> Counter[tuple[str, str]]:
    """How many users an item has more by these (user, item, type), each the first of its user; the events are not
    stored yet. The users must be locked."""
    found: Counter[tuple[str, str]] = Counter()
    first = list(triples)
    known = {tuple(row) for row in KNOWN_PAIRS(connection, sorted({(user, item) for user, item, _ in first}))}
    for user, item, kind in first:
        found[item, kind] += 1
        if (user, item) not in known:
            known.add((user, item))
            found[item, ANY] += 1
    return found


def _lost_users(connection: Connection, deleted: set[tuple[str, str, str]]) -> Counter[tuple[str, str]]:
    """The reverse of `new_users`, of events that are deleted already."""
    left = {tuple(row) for row in KNOWN_TRIPLES(connection, sorted(deleted))}
    pairs = {(user, item) for user, item, _ in deleted}
    left_pairs = {tuple(row) for row in KNOWN_PAIRS(connection, sorted(pairs))}
    lost = Counter((item, kind) for _, item, kind in deleted - left)
    lost.update((item, ANY) for _, item in pairs - left_pairs)
    return Counter({key: -number for key, number in lost.items()})


def _add(connection: Connection, rows: Iterable[Row], users_changed: Users, sign: int) -> None:
    events: Counter[tuple[int, str, str]] = Counter()
    first: Counter[tuple[int, str, str]] = Counter()
    by_type: Counter[tuple[str, str]] = Counter()
    valued: Counter[tuple[str, str, int]] = Counter()
    totals: dict[tuple[str, str, int], float] = {}
    for occurred_at, item_id, kind, value, is_first in rows:
        hour = (hour_of(occurred_at), item_id, kind)
        events[hour] += sign
        first[hour] += sign * is_first
        by_type[item_id, kind] += sign
        by_type[item_id, ANY] += sign
        if value is not None:
            whole = (item_id, kind, int(min(value, HIGHEST)))
            valued[whole] += sign
            totals[whole] = totals.get(whole, 0.0) + sign * value
    _ADD(connection, [(*key, number, first[key]) for key, number in sorted(events.items())])
    _ADD_COUNTS(connection, [(*key, number, users_changed.get(key, 0)) for key, number in sorted(by_type.items())])
    _ADD_VALUES(connection, [(*key, number, totals[key]) for key, number in sorted(valued.items())])


def _drop_empty(connection: Connection, deleted: Sequence[Any]) -> None:
    """Delete the counts of the hours and items of deleted events that have come to nothing."""
    hours = sorted({hour_of(row[0]) for row in deleted})
    empty = (ItemActivity.hour >= hours[0], ItemActivity.hour <= hours[-1], ItemActivity.events <= 0)
    connection.execute(delete(ItemActivity).where(*empty))
    items = {row[1] for row in deleted}
    for table in (ItemCount, ItemValueCount):
        connection.execute(delete(table).where(among(connection, table.item_id, items), table.events <= 0))


def _adding(table: Any, *names: str) -> BulkInsert:
    """Adds these columns to those of the rows with the same key."""
    key = [column.name for column in table.__table__.primary_key]

    def build(statement: Any) -> Any:
        totals = {name: getattr(table, name) + statement.excluded[name] for name in names}
        return statement.on_conflict_do_update(index_elements=key, set_=totals)

    return BulkInsert(table, (*key, *names), build)


def _known(*names: str) -> RowLookup:
    """Those rows of texts for which there is an event with these columns."""
    return RowLookup(
        names,
        lambda given, columns: (
            select(*columns)
            .select_from(given)
            .where(
                select(UserInteraction.id)
                .where(*(getattr(UserInteraction, name) == one for name, one in zip(names, columns, strict=True)))
                .exists()
            )
        ),
    )


_ADD = _adding(ItemActivity, "events", "users")
_ADD_COUNTS = _adding(ItemCount, "events", "users")
_ADD_VALUES = _adding(ItemValueCount, "events", "total")
KNOWN_TRIPLES = _known("user_id", "item_id", "interaction_type")
KNOWN_PAIRS = _known("user_id", "item_id")


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
