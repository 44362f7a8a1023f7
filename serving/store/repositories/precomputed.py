"""Precomputed lists. Each belongs to the model version that made it and is used only while that one is Production."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, or_, select, true

from serving.interfaces import Precomputed
from serving.store.db.bulk import BulkInsert, among
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import UserRecommendation
from serving.store.db.writer import Task
from serving.store.repositories.events import RefusedUsers, add_items, add_users, now_ms
from serving.store.repositories.hidden_items import HiddenItemsReader

_LIST = Query(
    "precomputed",
    select(UserRecommendation.item_id, UserRecommendation.score, UserRecommendation.method)
    .where(
        UserRecommendation.user_id == bindparam("user_id"),
        UserRecommendation.model_name == bindparam("model_name"),
        UserRecommendation.model_version == bindparam("model_version"),
        UserRecommendation.expires_at > bindparam("now"),
        UserRecommendation.created_at >= bindparam("made_after"),
    )
    .order_by(UserRecommendation.score.desc(), UserRecommendation.rank),
)


class PrecomputedLists:
    """`PrecomputedSource` on the store."""

    def __init__(self, reader: Reader, hidden_items: HiddenItemsReader, *, fast: bool) -> None:
        self.fast = fast
        self._reader, self._hidden_items = reader, hidden_items

    def precomputed(self, user_id: str, model_name: str, model_version: str, made_after: int = 0) -> Precomputed | None:
        """The unexpired list of this user and version, without items hidden now. Raises `StoreError`."""
        key = {"user_id": user_id, "model_name": model_name, "model_version": model_version, "made_after": made_after}
        rows = self._reader.rows(_LIST, {**key, "now": now_ms()})
        hidden = self._hidden_items.hidden().item_ids
        kept = [row for row in rows if row[0] not in hidden]
        if not kept:
            return None
        return Precomputed(tuple(row[0] for row in kept), tuple(row[1] for row in kept), kept[0][2])


@dataclass(frozen=True, slots=True)
class UserList:
    """The list of one user, best first."""

    user_id: str
    item_ids: Sequence[str]
    scores: Sequence[float]
    method: str


class PutLists(Task[int]):
    """Store lists of one version of a registered model, replacing those that the same users had of it.

    `expires_at` in milliseconds since 1970. Users who opted out or were erased get no list. Returns how many lists were
    stored.
    """

    name = "put_lists"

    def __init__(self, model_name: str, model_version: str, lists: Iterable[UserList], expires_at: int) -> None:
        self.model_name, self.model_version = model_name, model_version
        self.lists, self.expires_at = list(lists), expires_at
        self.size = sum(len(one.item_ids) for one in self.lists)

    def run(self, connection: Connection) -> int:
        now = now_ms()
        user_ids = {one.user_id for one in self.lists}
        refused = RefusedUsers.among(connection, user_ids)
        # a list is made of what the model learnt of the user: after an erasure that must not be used at all
        kept = [
            one for one in self.lists if one.user_id not in refused.erased and not refused.refuses(one.user_id, now)
        ]
        add_users(connection, {one.user_id for one in kept}, now, refused.erased)
        add_items(connection, {item_id for one in kept for item_id in one.item_ids}, now)
        connection.execute(
            delete(UserRecommendation).where(
                among(connection, UserRecommendation.user_id, user_ids),
                UserRecommendation.model_name == self.model_name,
                UserRecommendation.model_version == self.model_version,
            )
        )
        _INSERT(
            connection,
            [
                (
                    one.user_id,
                    self.model_name,
                    self.model_version,
                    item_id,
                    rank,
                    float(score),
                    one.method,
                    now,
                    self.expires_at,
                )
                for one in kept
                for rank, (item_id, score) in enumerate(zip(one.item_ids, one.scores, strict=True), start=1)
            ],
        )
        return len(kept)


class DeleteStaleLists(Task[int]):
    """Delete lists of a registered model that are not read any more: expired ones, and other versions than `keep`.

    Without a model: the expired lists of all. Returns the number of deleted rows.
    """

    name = "delete_stale_lists"

    def __init__(self, model_name: str | None = None, keep: str | None = None) -> None:
        self.model_name, self.keep = model_name, keep

    def run(self, connection: Connection) -> int:
        stale = UserRecommendation.expires_at <= now_ms()
        if self.keep is not None:
            stale = or_(stale, UserRecommendation.model_version != self.keep)
        of_model = true() if self.model_name is None else UserRecommendation.model_name == self.model_name
        return int(connection.execute(delete(UserRecommendation).where(of_model, stale)).rowcount)


_INSERT = BulkInsert(
    UserRecommendation,
    ("user_id", "model_name", "model_version", "item_id", "rank", "score", "method", "created_at", "expires_at"),
)
