"""People: what they declared, whether they want to be known, and forgetting them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, delete, select, update

from serving.store.db import change_counters
from serving.store.db.bulk import BulkInsert
from serving.store.db.id_digests import Digests
from serving.store.db.reader import Query, Reader, from_json
from serving.store.db.tables import (
    Erasure,
    RecommendationFeedback,
    RecommendationImpression,
    Secret,
    Table,
    User,
    UserInteraction,
    UserProfile,
    UserRecommendation,
)
from serving.store.db.writer import Task
from serving.store.repositories.events import RefusedPeople, now_ms, touch_users
from serving.store.repositories.impressions import drop_lists

_PROFILE = Query(
    "profile",
    select(User.opted_out, User.created_at, UserProfile.role, UserProfile.categories, UserProfile.updated_at)
    .select_from(User)
    .outerjoin(UserProfile, UserProfile.user_id == User.user_id)
    .where(User.user_id == bindparam("user_id")),
)
_WITH_ROLE = Query("people_with_role", select(UserProfile.user_id).where(UserProfile.role == bindparam("role")))
_OPTED_OUT = Query("people_opted_out", select(User.user_id).where(User.opted_out))
_ERASURE = Query("erasure", select(Erasure.erased_at).where(Erasure.person == bindparam("person")))
_KEY = Query("digest_key", select(Secret.value).where(Secret.name == "digests"))
_KEY_IF_NEEDED = Query(
    "digest_key_if_needed",
    select(Secret.value).where(Secret.name == "digests", select(Erasure.erased_at).limit(1).exists()),
)


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Profile:
    """What is declared of a person; times in milliseconds since 1970."""

    user_id: str
    role: str | None = None
    categories: tuple[str, ...] = ()
    opted_out: bool = False
    created_at: int | None = None
    updated_at: int | None = None


def profile(reader: Reader, user_id: str) -> Profile | None:
    """The profile of a person, None where nothing is known of him. Raises `StoreError`."""
    row = reader.row(_PROFILE, {"user_id": user_id})
    if row is None:
        return None
    opted_out, created_at, role, categories, updated_at = row
    return Profile(user_id, role, tuple(from_json(categories) or ()), bool(opted_out), created_at, updated_at)


def erased_at(reader: Reader, user_id: str) -> int | None:
    """When a person was last erased, milliseconds since 1970; None for a mere stranger. Raises `StoreError`."""
    key = reader.row(_KEY_IF_NEEDED)
    if key is None:
        return None
    row = reader.row(_ERASURE, {"person": Digests(bytes(key[0])).digest(user_id)})
    return None if row is None else int(row[0])


def erased_among(reader: Reader, user_ids: Collection[str]) -> frozenset[str]:
    """Those of these people who were ever erased. Raises `StoreError`."""
    key = reader.row(_KEY_IF_NEEDED)
    if key is None:
        return frozenset()
    found = Digests(bytes(key[0]))
    return frozenset(one for one in user_ids if reader.row(_ERASURE, {"person": found.digest(one)}) is not None)


def digests(reader: Reader) -> Digests:
    """Digests under this database's key. Raises `StoreError`."""
    row = reader.row(_KEY)
    return Digests(b"" if row is None else bytes(row[0]))


class People:
    """`UserSource` on the store."""

    def __init__(self, reader: Reader, *, fast: bool) -> None:
        self.fast = fast
        self._reader = reader
        self._lock = threading.Lock()
        self._state: int | None = None
        self.last_opted_out: frozenset[str] = frozenset()
        """The last answer, for while the database is away."""

    def with_role(self, role: str) -> frozenset[str]:
        """Who declared this role. Raises `StoreError`."""
        return frozenset(user_id for (user_id,) in self._reader.rows(_WITH_ROLE, {"role": role}))

    def opted_out(self) -> frozenset[str]:
        """Who opted out. Raises `StoreError`."""
        state = change_counters.read(self._reader, change_counters.PEOPLE)
        if state != self._state:
            with self._lock:
                self.last_opted_out = frozenset(user_id for (user_id,) in self._reader.rows(_OPTED_OUT))
                self._state = state
        return self.last_opted_out

    def erased(self, user_ids: Collection[str]) -> frozenset[str]:
        """Those of these people who were erased, also where they came back since. Raises `StoreError`."""
        return erased_among(self._reader, user_ids)


# -- writing ----------------------------------------------------------------------------------------------------------


class PutProfile(Task[Profile]):
    """Replace what is declared of a person, who becomes known by it. Opting out voids the lists made for him."""

    name = "put_profile"

    def __init__(self, user_id: str, *, role: str | None, categories: tuple[str, ...], opted_out: bool) -> None:
        self.user_id, self.role, self.categories, self.opted_out = user_id, role, categories, opted_out

    def run(self, connection: Connection) -> Profile:
        now = now_ms()
        erased = RefusedPeople.among(connection, [self.user_id]).erased
        touch_users(connection, [self.user_id], now, erased)
        connection.execute(update(User).where(User.user_id == self.user_id).values(opted_out=self.opted_out))
        declared = orjson.dumps(self.categories).decode()
        _PUT_PROFILE(connection, [(self.user_id, self.role, declared, now)])
        if self.opted_out:
            connection.execute(delete(UserRecommendation).where(UserRecommendation.user_id == self.user_id))
        change_counters.bump(connection, change_counters.PEOPLE, now)
        created_at = connection.execute(select(User.created_at).where(User.user_id == self.user_id)).scalar_one()
        return Profile(self.user_id, self.role, self.categories, self.opted_out, created_at, now)


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure removed: rows by table."""

    rows: dict[str, int]
    erased_at: int


class Erase(Task[Erased]):
    """Remove everything of a person, and remember by a digest that nothing from before may come back: neither late
    events nor what older models learnt. Erasing a stranger does the latter."""

    name = "erase"
    leaves_traces = True

    def __init__(self, user_id: str, *, forget_waiting: Callable[[str], int]) -> None:
        self.user_id, self._forget_waiting = user_id, forget_waiting

    def run(self, connection: Connection) -> Erased:
        now = now_ms()
        self._forget_waiting(self.user_id)
        lists = drop_lists(connection, RecommendationImpression.user_id == self.user_id)
        rows = {RecommendationImpression.__tablename__: lists}
        for table in _PERSONAL:
            column: Any = table.user_id  # type: ignore[attr-defined]
            rows[table.__tablename__] = int(connection.execute(delete(table).where(column == self.user_id)).rowcount)
        person = Digests.of(connection).digest(self.user_id)
        _PUT_ERASURE(connection, [(person, now)])
        change_counters.bump(connection, change_counters.PEOPLE, now)
        return Erased(rows, now)


_PERSONAL: tuple[type[Table], ...] = (
    UserProfile,
    UserInteraction,
    RecommendationFeedback,
    UserRecommendation,
    User,
)


def _replace_profile(statement: Any) -> Any:
    columns = ("role", "categories", "updated_at")
    return statement.on_conflict_do_update(
        index_elements=["user_id"], set_={name: statement.excluded[name] for name in columns}
    )


def _later_erasure(statement: Any) -> Any:
    return statement.on_conflict_do_update(
        index_elements=["person"], set_={"erased_at": statement.excluded["erased_at"]}
    )


_PUT_PROFILE = BulkInsert(UserProfile, ("user_id", "role", "categories", "updated_at"), _replace_profile)
_PUT_ERASURE = BulkInsert(Erasure, ("person", "erased_at"), _later_erasure)
