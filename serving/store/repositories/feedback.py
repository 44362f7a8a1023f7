"""Recording feedback on recommended lists, joined to the impression by its request id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from serving.interfaces import Impression
from serving.store.db.bulk import BulkInsert
from serving.store.db.tables import SHOWN_ITEMS, RecommendationFeedback
from serving.store.db.writer import Task
from serving.store.repositories.events import RefusedUsers, add_items, add_users, now_ms
from serving.store.repositories.impressions import WriteImpressions


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What the user did with one item of the list; time in milliseconds since 1970."""

    item_id: str
    outcome: str
    occurred_at: int
    value: float | None = None


class NotShown(ValueError):
    """An item that was not in the list."""

    def __init__(self, item_id: str, request_id: str) -> None:
        super().__init__(f"Item '{item_id}' was not in the list of request '{request_id}'.")


class ListOfAnotherUser(ValueError):
    """The list belongs to another user."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"The list of request '{request_id}' was shown to another user.")


@dataclass(frozen=True, slots=True)
class FeedbackReceipt:
    """What became of the outcomes.

    `matched`: whether the list is known. `stored`, `duplicates` and `ignored` count outcomes: stored now, stored
    before, and of users of whom nothing is recorded.
    """

    matched: bool
    stored: int
    duplicates: int
    ignored: int
    model_version: str | None


class RecordFeedback(Task[FeedbackReceipt]):
    """Store outcomes of a list, each (item, outcome) once. Raises `NotShown`, `ListOfAnotherUser`.

    A list that is not known is accepted unmatched: impressions may be dropped, and those of users who opted out are
    not kept.
    """

    name = "feedback"

    def __init__(
        self,
        request_id: str,
        user_id: str | None,
        outcomes: Sequence[ItemOutcome],
        *,
        queued: Callable[[str], Impression | None] = lambda request_id: None,
    ) -> None:
        """`queued` looks up an impression that waits to be written."""
        self.request_id, self.user_id, self.outcomes, self._queued = request_id, user_id, outcomes, queued
        self.size = len(outcomes)

    def run(self, connection: Connection) -> FeedbackReceipt:
        queued = self._queued(self.request_id)
        if queued is not None:
            WriteImpressions([queued]).run(connection)
        shown = self._shown(connection)
        user_id = self._checked_user(shown)
        now = now_ms()
        user_ids = [] if user_id is None else [user_id]
        refused = RefusedUsers.among(connection, user_ids)
        kept = [one for one in self.outcomes if user_id is None or not refused.refuses(user_id, one.occurred_at)]
        if not kept:
            return FeedbackReceipt(bool(shown), 0, 0, len(self.outcomes), self._version(shown))
        known = self._known(connection)
        new = {(one.item_id, one.outcome): one for one in kept if (one.item_id, one.outcome) not in known}
        add_users(connection, user_ids, now, refused.erased)
        add_items(connection, {one.item_id for one in new.values()}, now)
        _INSERT(
            connection,
            [
                (self.request_id, one.item_id, user_id, one.outcome, one.value, one.occurred_at, now)
                for one in new.values()
            ],
        )
        return FeedbackReceipt(
            bool(shown), len(new), len(kept) - len(new), len(self.outcomes) - len(kept), self._version(shown)
        )

    def _shown(self, connection: Connection) -> dict[str, tuple[str, str | None]]:
        """User and model version of each item of the list."""
        statement = select(SHOWN_ITEMS.c.item_id, SHOWN_ITEMS.c.user_id, SHOWN_ITEMS.c.model_version).where(
            SHOWN_ITEMS.c.request_id == self.request_id
        )
        return {item_id: (user_id, version) for item_id, user_id, version in connection.execute(statement)}

    def _checked_user(self, shown: dict[str, tuple[str, str | None]]) -> str | None:
        if not shown:
            return self.user_id
        for one in self.outcomes:
            if one.item_id not in shown:
                raise NotShown(one.item_id, self.request_id)
        user_id = next(iter(shown.values()))[0]
        if self.user_id is not None and self.user_id != user_id:
            raise ListOfAnotherUser(self.request_id)
        return user_id

    def _known(self, connection: Connection) -> set[tuple[str, str]]:
        statement = select(RecommendationFeedback.item_id, RecommendationFeedback.outcome).where(
            RecommendationFeedback.request_id == self.request_id
        )
        return {(item_id, outcome) for item_id, outcome in connection.execute(statement)}

    @staticmethod
    def _version(shown: dict[str, tuple[str, str | None]]) -> str | None:
        return next(iter(shown.values()))[1] if shown else None


_INSERT = BulkInsert(
    RecommendationFeedback,
    ("request_id", "item_id", "user_id", "outcome", "value", "occurred_at", "received_at"),
)
