"""Audiences computed ahead of time: the users for an item by one version of the reverse model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, or_, select

from serving.interfaces import Audience
from serving.store.db.bulk import BulkInsert, among
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import ItemAudience
from serving.store.db.writer import Task
from serving.store.repositories.events import RefusedUsers, add_items, add_users, now_ms

_AUDIENCE = Query(
    "audience",
    select(ItemAudience.user_id, ItemAudience.score, ItemAudience.method)
    .where(
        ItemAudience.item_id == bindparam("item_id"),
        ItemAudience.model_name == bindparam("model_name"),
        ItemAudience.model_version == bindparam("model_version"),
        ItemAudience.expires_at > bindparam("now"),
    )
    .order_by(ItemAudience.rank),
)


def audience(reader: Reader, item_id: str, model_name: str, model_version: str) -> Audience | None:
    """The unexpired users for an item by this version; None where there are none. Raises `StoreError`."""
    key = {"item_id": item_id, "model_name": model_name, "model_version": model_version}
    rows = reader.rows(_AUDIENCE, {**key, "now": now_ms()})
    if not rows:
        return None
    return Audience(tuple(row[0] for row in rows), tuple(row[1] for row in rows), rows[0][2])


@dataclass(frozen=True, slots=True)
class AudienceList:
    """The users for one item, best first."""

    item_id: str
    user_ids: Sequence[str]
    scores: Sequence[float]
    method: str


class PutAudiences(Task[int]):
    """Store the users for items by one version of a registered model, replacing those that it stored before.

    `expires_at` in milliseconds since 1970. Users who opted out or were erased are left out. Returns how many lists
    were stored.
    """

    name = "put_audiences"

    def __init__(self, model_name: str, model_version: str, lists: Iterable[AudienceList], expires_at: int) -> None:
        self.model_name, self.model_version = model_name, model_version
        self.lists, self.expires_at = list(lists), expires_at
        self.size = sum(len(one.user_ids) for one in self.lists)

    def run(self, connection: Connection) -> int:
        now = now_ms()
        user_ids = {user_id for one in self.lists for user_id in one.user_ids}
        refused = RefusedUsers.among(connection, user_ids)
        allowed = {one for one in user_ids if one not in refused.erased and not refused.refuses(one, now)}
        add_users(connection, allowed, now, refused.erased)
        item_ids = {one.item_id for one in self.lists}
        add_items(connection, item_ids, now)
        connection.execute(
            delete(ItemAudience).where(
                among(connection, ItemAudience.item_id, item_ids),
                ItemAudience.model_name == self.model_name,
                ItemAudience.model_version == self.model_version,
            )
        )
        version = (self.model_name, self.model_version)
        _INSERT(
            connection,
            [
                (one.item_id, *version, user_id, rank, float(score), one.method, self.expires_at)
                for one in self.lists
                for rank, (user_id, score) in enumerate(zip(one.user_ids, one.scores, strict=True), start=1)
                if user_id in allowed
            ],
        )
        return len(self.lists)


class DeleteStaleAudiences(Task[int]):
    """Delete audiences of a registered model that are not read any more: expired ones, and other versions than `keep`.

    Returns the number of deleted rows.
    """

    name = "delete_stale_audiences"

    def __init__(self, model_name: str, keep: str) -> None:
        self.model_name, self.keep = model_name, keep

    def run(self, connection: Connection) -> int:
        stale = or_(ItemAudience.expires_at <= now_ms(), ItemAudience.model_version != self.keep)
        of_model = ItemAudience.model_name == self.model_name
        return int(connection.execute(delete(ItemAudience).where(of_model, stale)).rowcount)


_INSERT = BulkInsert(
    ItemAudience,
    ("item_id", "model_name", "model_version", "user_id", "rank", "score", "method", "expires_at"),
)
