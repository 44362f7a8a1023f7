"""Users: their profiles, opting out, and who was erased."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, delete, select, update

from serving.interfaces import Audience
from serving.store.audiences.stored import audience
from serving.store.db import change_counters
from serving.store.db.bulk import BulkInsert
from serving.store.db.id_digests import Digests
from serving.store.db.reader import Query, Reader, from_json
from serving.store.db.tables import (
    Erasure,
    ItemAudience,
    Secret,
    User,
    UserPattern,
    UserProfile,
    UserRecommendation,
)
from serving.store.db.writer import Task
from serving.store.repositories.events import RefusedUsers, now_ms, touch_users

_PROFILE = Query(
    "profile",
    select(
        User.opted_out,
        User.created_at,
        UserProfile.role,
        UserProfile.categories,
        UserProfile.attributes,
        UserProfile.updated_at,
    )
    .select_from(User)
    .outerjoin(UserProfile, UserProfile.user_id == User.user_id)
    .where(User.user_id == bindparam("user_id")),
)
_WITH_ROLE = Query("users_with_role", select(UserProfile.user_id).where(UserProfile.role == bindparam("role")))
_OPTED_OUT = Query("users_opted_out", select(User.user_id).where(User.opted_out))
_ERASURE = Query("erasure", select(Erasure.erased_at).where(Erasure.person == bindparam("person")))
_KEY = Query("digest_key", select(Secret.value).where(Secret.name == "digests"))
_KEY_IF_NEEDED = Query(
    "digest_key_if_needed",
    select(Secret.value).where(Secret.name == "digests", select(Erasure.erased_at).limit(1).exists()),
)


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Profile:
    """The profile of a user; times in milliseconds since 1970."""

    user_id: str
    role: str | None = None
    categories: tuple[str, ...] = ()
    opted_out: bool = False
    created_at: int | None = None
    updated_at: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def profile(reader: Reader, user_id: str) -> Profile | None:
    """The profile of a user, None for an unknown user. Raises `StoreError`."""
    row = reader.row(_PROFILE, {"user_id": user_id})
    if row is None:
        return None
    opted_out, created_at, role, categories, attributes, updated_at = row
    declared = tuple(from_json(categories) or ())
    return Profile(user_id, role, declared, bool(opted_out), created_at, updated_at, from_json(attributes) or {})


def erased_at(reader: Reader, user_id: str) -> int | None:
    """When a user was last erased, milliseconds since 1970; None if never. Raises `StoreError`."""
    key = reader.row(_KEY_IF_NEEDED)
    if key is None:
        return None
    row = reader.row(_ERASURE, {"person": Digests(bytes(key[0])).digest(user_id)})
    return None if row is None else int(row[0])


def erased_among(reader: Reader, user_ids: Collection[str]) -> frozenset[str]:
    """Those of these users who were ever erased. Raises `StoreError`."""
    key = reader.row(_KEY_IF_NEEDED)
    if key is None:
        return frozenset()
    keyed = Digests(bytes(key[0]))
    return frozenset(one for one in user_ids if reader.row(_ERASURE, {"person": keyed.digest(one)}) is not None)


def digests(reader: Reader) -> Digests:
    """Digests under this database's key. Raises `StoreError`."""
    row = reader.row(_KEY)
    return Digests(b"" if row is None else bytes(row[0]))


class UserReader:
    """`UserSource` on the store."""

    def __init__(self, reader: Reader, *, fast: bool) -> None:
        self.fast = fast
        self._reader = reader
        self._lock = threading.Lock()
        self._counter: int | None = None
        self.last_opted_out: frozenset[str] = frozenset()
        """The result of the last call, for use while the database is unavailable."""

    def with_role(self, role: str) -> frozenset[str]:
        """Users whose profile declares this role. Raises `StoreError`."""
        return frozenset(user_id for (user_id,) in self._reader.rows(_WITH_ROLE, {"role": role}))

    def opted_out(self) -> frozenset[str]:
        """Users who opted out. Raises `StoreError`."""
        counter = change_counters.read(self._reader, change_counters.USERS)
        if counter != self._counter:
            with self._lock:
                self.last_opted_out = frozenset(user_id for (user_id,) in self._reader.rows(_OPTED_OUT))
                self._counter = counter
        return self.last_opted_out

    def erased(self, user_ids: Collection[str]) -> frozenset[str]:
        """Those of these users who were erased, returned since or not. Raises `StoreError`."""
        return erased_among(self._reader, user_ids)

    def users_version(self) -> int:
        """The counter of opting out, erasures and profiles. Raises `StoreError`."""
        return change_counters.read(self._reader, change_counters.USERS)

    def audience(self, item_id: str, model_name: str, model_version: str) -> Audience | None:
        """The stored users for an item. Raises `StoreError`."""
        return audience(self._reader, item_id, model_name, model_version)


# -- writing ----------------------------------------------------------------------------------------------------------

NO_ATTRIBUTES: Mapping[str, Any] = MappingProxyType({})


class PutProfile(Task[Profile]):
    """Replace the profile of a user, who is added if unknown. Opting out deletes the user's precomputed lists."""

    name = "put_profile"

    def __init__(
        self,
        user_id: str,
        *,
        role: str | None,
        categories: tuple[str, ...],
        opted_out: bool,
        attributes: Mapping[str, Any] = NO_ATTRIBUTES,
    ) -> None:
        self.user_id, self.role, self.categories, self.opted_out = user_id, role, categories, opted_out
        self.attributes = attributes

    def run(self, connection: Connection) -> Profile:
        now = now_ms()
        erased = RefusedUsers.among(connection, [self.user_id]).erased
        touch_users(connection, [self.user_id], now, erased)
        connection.execute(update(User).where(User.user_id == self.user_id).values(opted_out=self.opted_out))
        declared = orjson.dumps(self.categories).decode()
        attributes = orjson.dumps(dict(self.attributes)).decode() if self.attributes else None
        _PUT_PROFILE(connection, [(self.user_id, self.role, declared, attributes, now)])
        if self.opted_out:
            for table in (UserRecommendation, ItemAudience, UserPattern):
                connection.execute(delete(table).where(table.user_id == self.user_id))
        change_counters.bump(connection, change_counters.USERS, now)
        created_at = connection.execute(select(User.created_at).where(User.user_id == self.user_id)).scalar_one()
        return Profile(self.user_id, self.role, self.categories, self.opted_out, created_at, now, self.attributes)


def _replace_profile(statement: Any) -> Any:
    columns = ("role", "categories", "attributes", "updated_at")
    return statement.on_conflict_do_update(
        index_elements=["user_id"], set_={name: statement.excluded[name] for name in columns}
    )


_PUT_PROFILE = BulkInsert(UserProfile, ("user_id", "role", "categories", "attributes", "updated_at"), _replace_profile)
