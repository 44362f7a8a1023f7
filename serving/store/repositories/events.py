"""Recording events, each at most once, and the users and items that they name."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import orjson
from sqlalchemy import Connection, case, literal_column, or_, select

from serving.store.db.bulk import BulkInsert, Lookup
from serving.store.db.id_digests import Digests
from serving.store.db.tables import Erasure, Item, User, UserInteraction
from serving.store.db.writer import Outcome, Task
from serving.store.repositories.activity import KNOWN_TRIPLES, add_events, new_users

EventStatus = Literal["stored", "duplicate", "ignored"]
T = TypeVar("T")
_MAX_IN_VALUES = 500  # values of one IN list


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a user; times in milliseconds since 1970."""

    user_id: str
    item_id: str
    interaction_type: str
    occurred_at: int
    received_at: int
    value: float | None = None
    context: dict[str, Any] | None = None
    request_id: str | None = None
    idempotency_key: str | None = None

    def content(self) -> tuple:
        """What two events under one idempotency key must share."""
        return self.user_id, self.item_id, self.interaction_type, self.value


class KeyReused(ValueError):
    """An idempotency key that was used for something else before."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The idempotency key '{key}' was used for another event; a new event needs a new key.")


class RecordEvents(Task[list[EventStatus]]):
    """Store events. Raises `KeyReused`, and then stores none of them.

    Returns a status for each event: `stored`; `duplicate` (its key is known, nothing was written); or `ignored` (the
    user opted out, or was erased after the event).
    """

    name = "events"

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self.size = len(events)

    def run(self, connection: Connection) -> list[EventStatus]:
        outcome = RecordEvents.run_all(connection, [self])[0]
        if isinstance(outcome, BaseException):
            raise outcome
        statuses: list[EventStatus] = outcome
        return statuses

    @classmethod
    def run_all(cls, connection: Connection, tasks: Sequence[RecordEvents]) -> list[Outcome]:
        seen = _stored_by_key(connection, {e.idempotency_key for t in tasks for e in t.events if e.idempotency_key})
        user_ids = {event.user_id for task in tasks for event in task.events}
        refused = RefusedUsers.among(connection, user_ids)
        outcomes: list[Outcome] = []
        fresh: list[Event] = []
        for task in tasks:
            outcome, new = _classify(task.events, seen, refused)
            outcomes.append(outcome)
            fresh += new
        _insert(connection, fresh, refused)
        return outcomes


def _classify(
    events: Sequence[Event], seen: dict[str, tuple], refused: RefusedUsers
) -> tuple[list[EventStatus] | KeyReused, list[Event]]:
    """The status of each event, and those to store; adds their keys to `seen`."""
    statuses: list[EventStatus] = []
    new: list[Event] = []
    keys: dict[str, tuple] = {}
    for event in events:
        key = event.idempotency_key
        before = None if key is None else seen.get(key) or keys.get(key)
        if before is not None and key is not None:
            if before != event.content():
                return KeyReused(key), []
            statuses.append("duplicate")
        elif refused.refuses(event.user_id, event.occurred_at):
            statuses.append("ignored")
        else:
            statuses.append("stored")
            new.append(event)
            if key is not None:
                keys[key] = event.content()
    seen.update(keys)
    return statuses, new


def _stored_by_key(connection: Connection, keys: set[str]) -> dict[str, tuple]:
    return {str(key): tuple(content) for key, *content in _STORED(connection, keys)}


def _insert(connection: Connection, events: Sequence[Event], refused: RefusedUsers) -> None:
    if not events:
        return
    now = events[0].received_at
    touch_users(connection, {event.user_id for event in events}, now, refused.erased)
    add_items(connection, {event.item_id for event in events}, now)
    first = _first_of_their_type(connection, events)
    triples = [(event.user_id, event.item_id, event.interaction_type) for event in events]
    add_events(
        connection,
        [
            (event.occurred_at, event.item_id, event.interaction_type, event.value, is_first)
            for event, is_first in zip(events, first, strict=True)
        ],
        new_users(connection, [one for one, is_first in zip(triples, first, strict=True) if is_first]),
    )
    _INSERT_EVENTS(
        connection,
        [
            (
                event.user_id,
                event.item_id,
                event.interaction_type,
                event.value,
                None if event.context is None else orjson.dumps(event.context).decode(),
                event.request_id,
                event.idempotency_key,
                is_first,
                event.occurred_at,
                event.received_at,
            )
            for event, is_first in zip(events, first, strict=True)
        ],
    )


def _first_of_their_type(connection: Connection, events: Sequence[Event]) -> list[bool]:
    """Whether each event is its user's first of its type with its item. The users must be locked: `touch_users`."""
    pairs = [(event.user_id, event.item_id, event.interaction_type) for event in events]
    known = {tuple(row) for row in KNOWN_TRIPLES(connection, sorted(set(pairs)))}
    first = []
    for pair in pairs:
        first.append(pair not in known)
        known.add(pair)
    return first


# -- users and items that events name ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class RefusedUsers:
    """Users of whom nothing may be recorded.

    `opted_out`: nothing at all; `erased`: nothing that happened before the erasure. `unknown` are the users without
    any record, of whom everything may be recorded.
    """

    unknown: frozenset[str]
    opted_out: frozenset[str]
    erased: dict[str, int]
    """User and time of the erasure, milliseconds since 1970."""

    def refuses(self, user_id: str, moment: int) -> bool:
        return user_id in self.opted_out or moment <= self.erased.get(user_id, -1)

    @classmethod
    def among(cls, connection: Connection, user_ids: Iterable[str]) -> RefusedUsers:
        """What applies to each of `user_ids`."""
        wanted = set(user_ids)
        found = _USERS(connection, wanted)
        unknown = frozenset(user_id for user_id, known, _, _ in found if known is None)
        opted_out = frozenset(user_id for user_id, _, out, _ in found if out)
        erased = {user_id: forgotten for user_id, _, _, forgotten in found if forgotten is not None}
        if unknown and connection.execute(select(Erasure.erased_at).limit(1)).first() is not None:
            digests = Digests.of(connection)
            names = {digests.digest(user_id): user_id for user_id in unknown}
            for chunk in in_chunks(names):
                known_erasures = select(Erasure.person, Erasure.erased_at).where(Erasure.person.in_(chunk))
                erased.update((names[bytes(person)], moment) for person, moment in connection.execute(known_erasures))
        return cls(unknown, opted_out, erased)


def touch_users(
    connection: Connection, user_ids: Iterable[str], now: int, erased: Mapping[str, int] | None = None
) -> None:
    """Add users that are unknown, and give those that exist a new history version."""
    _TOUCH_USERS(connection, _user_rows(user_ids, now, erased or {}))


def add_users(
    connection: Connection, user_ids: Iterable[str], now: int, erased: Mapping[str, int] | None = None
) -> None:
    """Add users that are unknown; existing ones stay as they are."""
    _ADD_USERS(connection, _user_rows(user_ids, now, erased or {}))


def _user_rows(user_ids: Iterable[str], now: int, erased: Mapping[str, int]) -> list[tuple]:
    # sorted: two writers that lock rows in the same order cannot deadlock
    return [(user_id, now, now, erased.get(user_id)) for user_id in sorted(user_ids)]


def add_items(connection: Connection, item_ids: Iterable[str], now: int) -> None:
    """Add items that are unknown; existing ones stay as they are."""
    _ADD_ITEMS(connection, [(item_id, now, now) for item_id in sorted(item_ids)])


def _later_version(statement: Any) -> Any:
    # never the same number twice, not even for a user who was erased and came back: by then the clock has moved on
    fresh = statement.excluded.history_version
    later = case((fresh > User.history_version, fresh), else_=User.history_version + literal_column("1"))
    return statement.on_conflict_do_update(index_elements=["user_id"], set_={"history_version": later})


_STORED = Lookup(
    lambda given: select(
        UserInteraction.idempotency_key,
        UserInteraction.user_id,
        UserInteraction.item_id,
        UserInteraction.interaction_type,
        UserInteraction.value,
    ).where(UserInteraction.idempotency_key.in_(select(given.c.value)))
)
_USERS = Lookup(
    lambda given: (
        select(given.c.value, User.user_id, User.opted_out, User.forgotten_at)
        .select_from(given.outerjoin(User, User.user_id == given.c.value))
        .where(or_(User.user_id.is_(None), User.opted_out, User.forgotten_at.is_not(None)))
    )
)
_USER_COLUMNS = ("user_id", "created_at", "history_version", "forgotten_at")
_TOUCH_USERS = BulkInsert(User, _USER_COLUMNS, _later_version)
_ADD_USERS = BulkInsert(User, _USER_COLUMNS)
_ADD_ITEMS = BulkInsert(Item, ("item_id", "created_at", "updated_at"))
_INSERT_EVENTS = BulkInsert(
    UserInteraction,
    (
        "user_id",
        "item_id",
        "interaction_type",
        "value",
        "context",
        "request_id",
        "idempotency_key",
        "is_first",
        "occurred_at",
        "received_at",
    ),
)


def in_chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Sorted lists of at most `_MAX_IN_VALUES` values."""
    whole = sorted(values)  # type: ignore[type-var]
    for start in range(0, len(whole), _MAX_IN_VALUES):
        yield whole[start : start + _MAX_IN_VALUES]
