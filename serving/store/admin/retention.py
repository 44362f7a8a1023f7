"""Letting go of what is old: events, impressions and feedback from before a day, a few thousand rows a transaction, so
that nobody who writes meanwhile waits long."""

from __future__ import annotations

from sqlalchemy import Connection, Select, delete, select
from sqlalchemy.engine import URL

from serving.store.db.tables import RecommendationFeedback, RecommendationImpression, UserInteraction
from serving.store.db.writer import Task, Writer
from serving.store.repositories.impressions import drop_lists

ROWS_AT_ONCE = 5_000


def old_events(before: int, most: int) -> Select:
    """Numbers of the oldest events that happened before a moment (milliseconds since 1970)."""
    return (
        select(UserInteraction.id)
        .where(UserInteraction.occurred_at < before)
        .order_by(UserInteraction.occurred_at)
        .limit(most)
    )


def old_feedback(before: int, most: int) -> Select:
    """Numbers of the oldest outcomes that were received before a moment."""
    return (
        select(RecommendationFeedback.id)
        .where(RecommendationFeedback.received_at < before)
        .order_by(RecommendationFeedback.received_at)
        .limit(most)
    )


def old_impressions(before: int, most: int) -> Select:
    """Keys of the oldest lists that were shown before a moment."""
    return (
        select(RecommendationImpression.request_id)
        .where(RecommendationImpression.shown_at < before)
        .order_by(RecommendationImpression.shown_at)
        .limit(most)
    )


class DropOld(Task[dict[str, int]]):
    """Remove some of the rows from before a moment. The result: how many, by table."""

    name = "drop_old"
    size = ROWS_AT_ONCE

    def __init__(self, before: int) -> None:
        self.before = before

    def run(self, connection: Connection) -> dict[str, int]:
        lists = RecommendationImpression.request_id.in_(old_impressions(self.before, ROWS_AT_ONCE))
        statements = {
            UserInteraction: UserInteraction.id.in_(old_events(self.before, ROWS_AT_ONCE)),
            RecommendationFeedback: RecommendationFeedback.id.in_(old_feedback(self.before, ROWS_AT_ONCE)),
        }
        dropped = {
            table.__tablename__: int(connection.execute(delete(table).where(old)).rowcount)
            for table, old in statements.items()
        }
        return {**dropped, RecommendationImpression.__tablename__: drop_lists(connection, lists)}


def prune(url: URL, before: int) -> dict[str, int]:
    """Remove everything from before a moment (milliseconds since 1970); how many rows, by table. People and items stay.
    Raises `StoreError`."""
    writer = Writer(url, busy_timeout=10.0)
    total: dict[str, int] = {}
    try:
        while True:
            dropped = writer.submit(DropOld(before)).result()
            total = {name: total.get(name, 0) + number for name, number in dropped.items()}
            if not any(dropped.values()):
                return total
    finally:
        writer.close()
