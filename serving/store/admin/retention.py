"""Retention: delete events, impressions and feedback from before a moment.

A few thousand rows in each transaction, so that other writers do not wait long for the lock.
"""

from __future__ import annotations

from sqlalchemy import Connection, Select, delete, select
from sqlalchemy.engine import URL

from serving.store.db.tables import RecommendationFeedback, RecommendationImpression, UserInteraction
from serving.store.db.writer import Task, Writer
from serving.store.repositories.activity import delete_events
from serving.store.repositories.impressions import delete_impressions

ROWS_PER_TRANSACTION = 5_000


def old_events(before: int, limit: int) -> Select:
    """Select the ids of the oldest events that happened before a moment (milliseconds since 1970)."""
    return (
        select(UserInteraction.id)
        .where(UserInteraction.occurred_at < before)
        .order_by(UserInteraction.occurred_at)
        .limit(limit)
    )


def old_feedback(before: int, limit: int) -> Select:
    """Select the ids of the oldest feedback received before a moment."""
    return (
        select(RecommendationFeedback.id)
        .where(RecommendationFeedback.received_at < before)
        .order_by(RecommendationFeedback.received_at)
        .limit(limit)
    )


def old_impressions(before: int, limit: int) -> Select:
    """Select the request ids of the oldest impressions from before a moment."""
    return (
        select(RecommendationImpression.request_id)
        .where(RecommendationImpression.shown_at < before)
        .order_by(RecommendationImpression.shown_at)
        .limit(limit)
    )


class DeleteOldRows(Task[dict[str, int]]):
    """Delete the oldest rows from before a moment. Returns how many, by table."""

    name = "delete_old_rows"
    size = ROWS_PER_TRANSACTION

    def __init__(self, before: int) -> None:
        self.before = before

    def run(self, connection: Connection) -> dict[str, int]:
        impressions = RecommendationImpression.request_id.in_(old_impressions(self.before, ROWS_PER_TRANSACTION))
        events = UserInteraction.id.in_(old_events(self.before, ROWS_PER_TRANSACTION))
        feedback = RecommendationFeedback.id.in_(old_feedback(self.before, ROWS_PER_TRANSACTION))
        return {
            UserInteraction.__tablename__: delete_events(connection, events),
            RecommendationFeedback.__tablename__: int(
                connection.execute(delete(RecommendationFeedback).where(feedback)).rowcount
            ),
            RecommendationImpression.__tablename__: delete_impressions(connection, impressions),
        }


def prune(url: URL, before: int) -> dict[str, int]:
    """Delete everything from before a moment (milliseconds since 1970); users and items stay.

    Returns how many rows were deleted, by table. Raises `StoreError`.
    """
    writer = Writer(url, busy_timeout=10.0)
    total: dict[str, int] = {}
    try:
        while True:
            deleted = writer.submit(DeleteOldRows(before)).result()
            total = {name: total.get(name, 0) + number for name, number in deleted.items()}
            if not any(deleted.values()):
                return total
    finally:
        writer.close()
