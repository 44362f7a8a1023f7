"""The learned patterns of a user: read, and replaced while they are those of the user's newest history."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select

from serving.store.db.bulk import BulkInsert
from serving.store.db.reader import Query, Reader, from_json
from serving.store.db.tables import User, UserInteraction, UserPattern
from serving.store.db.writer import Task

MOST_EVENTS = 2_000
"""The activity of a user is that of so many of their newest events."""
_PATTERNS = Query(
    "user_patterns",
    select(UserPattern.patterns, UserPattern.made_from, UserPattern.updated_at).where(
        UserPattern.user_id == bindparam("user_id")
    ),
)
_EVENTS = Query(
    "events_of_patterns",
    select(UserInteraction.occurred_at, UserInteraction.interaction_type)
    .where(UserInteraction.user_id == bindparam("user_id"))
    .order_by(UserInteraction.occurred_at.desc(), UserInteraction.id.desc())
    .limit(bindparam("limit")),
)


def stored_patterns(reader: Reader, user_id: str) -> tuple[dict[str, Any], str, int] | None:
    """The patterns, what they were made from, and when (milliseconds since 1970). Raises `StoreError`."""
    row = reader.row(_PATTERNS, {"user_id": user_id})
    return None if row is None else (from_json(row[0]), row[1], row[2])


def events_of_patterns(reader: Reader, user_id: str) -> list[tuple[int, str]]:
    """Time (milliseconds since 1970) and type of a user's events, newest first. Raises `StoreError`."""
    rows = reader.rows(_EVENTS, {"user_id": user_id, "limit": MOST_EVENTS})
    return [(moment, kind) for moment, kind in rows]


class PutPatterns(Task[bool]):
    """Store the patterns of a user; False, and nothing is stored, where the history has moved on, or the user is gone.

    `version`: of the history that they were made from.
    """

    name = "put_patterns"

    def __init__(self, user_id: str, version: int, patterns: dict[str, Any], made_from: str, updated_at: int) -> None:
        self.user_id, self.version = user_id, version
        self._values = (orjson.dumps(patterns).decode(), made_from, updated_at)

    def run(self, connection: Connection) -> bool:
        newest = select(User.user_id).where(
            User.user_id == self.user_id, User.history_version == self.version, ~User.opted_out
        )
        if connection.execute(newest.with_for_update()).first() is None:
            return False
        _PUT(connection, [(self.user_id, *self._values)])
        return True


def _replace(statement: Any) -> Any:
    columns = ("patterns", "made_from", "updated_at")
    return statement.on_conflict_do_update(
        index_elements=["user_id"], set_={name: statement.excluded[name] for name in columns}
    )


_PUT = BulkInsert(UserPattern, ("user_id", "patterns", "made_from", "updated_at"), _replace)
