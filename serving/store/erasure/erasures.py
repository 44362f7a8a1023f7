"""Erasure of a user: the rows go in one transaction; what takes long is recorded with it, and finished later.

An erasure without `finished_at` is a task: the deleted pages are still in the write-ahead log, or the registered
versions that were trained on the user are not known yet. `serving.store.erasure.tasks` finishes it, after a
restart too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from serving.store.db import change_counters
from serving.store.db.bulk import BulkInsert
from serving.store.db.id_digests import Digests
from serving.store.db.reader import Query, Reader, from_json
from serving.store.db.tables import (
    Erasure,
    ItemAudience,
    RecommendationFeedback,
    RecommendationImpression,
    Table,
    User,
    UserInteraction,
    UserPattern,
    UserProfile,
    UserRecommendation,
)
from serving.store.db.writer import Task
from serving.store.repositories.activity import delete_events
from serving.store.repositories.events import now_ms
from serving.store.repositories.impressions import delete_impressions
from serving.store.repositories.users import digests

_STATE = Query(
    "erasure_state",
    select(Erasure.erased_at, Erasure.finished_at, Erasure.trained_versions, Erasure.incomplete_because).where(
        Erasure.person == bindparam("person")
    ),
)
_OPEN = Query(
    "erasures_open",
    select(Erasure.person, Erasure.erased_at).where(Erasure.finished_at.is_(None)).order_by(Erasure.erased_at),
)
_OPEN_SINCE = Query(
    "erasures_open_since",
    select(func.count(), func.min(Erasure.erased_at), func.max(Erasure.incomplete_because)).where(
        Erasure.finished_at.is_(None)
    ),
)


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ErasureState:
    """How far an erasure is; times in milliseconds since 1970. `why`: why the versions found may not be all."""

    erased_at: int
    finished_at: int | None
    versions: tuple[tuple[str, str], ...]
    why: str | None


@dataclass(frozen=True, slots=True)
class OpenErasure:
    """An erasure whose slow part is not done; `person` is the digest of the user's id."""

    person: bytes
    erased_at: int


@dataclass(frozen=True, slots=True)
class OpenErasures:
    """How many erasures are open, since when (milliseconds since 1970), and what the last try found in the way."""

    number: int
    since: int
    why: str | None


def erasure_state(reader: Reader, user_id: str) -> ErasureState | None:
    """How far the last erasure of a user is; None where they were never erased. Raises `StoreError`."""
    row = reader.row(_STATE, {"person": digests(reader).digest(user_id)})
    if row is None:
        return None
    erased_at, finished_at, versions, why = row
    found = tuple((str(name), str(version)) for name, version in from_json(versions) or ())
    return ErasureState(int(erased_at), None if finished_at is None else int(finished_at), found, why)


def open_erasures(reader: Reader) -> list[OpenErasure]:
    """The erasures whose slow part is not done, oldest first. Raises `StoreError`."""
    return [OpenErasure(bytes(person), int(erased_at)) for person, erased_at in reader.rows(_OPEN)]


def open_since(reader: Reader) -> OpenErasures | None:
    """How many erasures are open; None where none is. Raises `StoreError`."""
    row = reader.row(_OPEN_SINCE)
    return OpenErasures(int(row[0]), int(row[1]), row[2]) if row is not None and row[0] else None


# -- writing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure removed, as rows by table, and when (milliseconds since 1970)."""

    rows: dict[str, int]
    erased_at: int


class Erase(Task[Erased]):
    """Remove everything of a user, record a digest of the id, and that the slow part is to be done.

    The digest keeps out late events from before the erasure, and what older models learnt of the user. An unknown user
    gets the digest as well.
    """

    name = "erase"
    purge_wal = True

    def __init__(self, user_id: str, *, drop_queued: Callable[[str], int]) -> None:
        """`drop_queued` removes the user's impressions that are not written yet."""
        self.user_id, self._drop_queued = user_id, drop_queued

    def run(self, connection: Connection) -> Erased:
        now = now_ms()
        self._drop_queued(self.user_id)
        impressions = delete_impressions(connection, RecommendationImpression.user_id == self.user_id)
        rows = {RecommendationImpression.__tablename__: impressions}
        for table in _PERSONAL:
            if table is User:  # the last one: events name it
                rows[UserInteraction.__tablename__] = delete_events(connection, UserInteraction.user_id == self.user_id)
            column: Any = table.user_id  # type: ignore[attr-defined]
            rows[table.__tablename__] = int(connection.execute(delete(table).where(column == self.user_id)).rowcount)
        digest = Digests.of(connection).digest(self.user_id)
        _PUT_ERASURE(connection, [(digest, now, None, None, None)])
        change_counters.bump(connection, change_counters.USERS, now)
        return Erased(rows, now)


class RecordErasureTask(Task[bool]):
    """Record what the slow part of an erasure found; returns whether it was still the last erasure of this user.

    `why`: why the versions may not be all; the task then stays open unless `finished`.
    """

    name = "record_erasure_task"

    def __init__(
        self, task: OpenErasure, versions: tuple[tuple[str, str], ...], why: str | None, *, finished: bool
    ) -> None:
        self.task, self.versions, self.why, self.finished = task, versions, why, finished

    def run(self, connection: Connection) -> bool:
        statement = (
            update(Erasure)
            .where(Erasure.person == self.task.person, Erasure.erased_at == self.task.erased_at)
            .values(
                finished_at=now_ms() if self.finished else None,
                trained_versions=[list(one) for one in self.versions],
                incomplete_because=self.why,
            )
        )
        return bool(connection.execute(statement).rowcount)


_PERSONAL: tuple[type[Table], ...] = (
    UserProfile,
    UserPattern,
    RecommendationFeedback,
    UserRecommendation,
    ItemAudience,
    User,
)
_COLUMNS = ("erased_at", "finished_at", "trained_versions", "incomplete_because")


def _later_erasure(statement: Any) -> Any:
    return statement.on_conflict_do_update(
        index_elements=["person"], set_={name: statement.excluded[name] for name in _COLUMNS}
    )


_PUT_ERASURE = BulkInsert(Erasure, ("person", *_COLUMNS), _later_erasure)
