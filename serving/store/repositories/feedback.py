"""What came of a shown list, joined to it by request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from serving.interfaces import Impression
from serving.store.db.bulk import BulkInsert
from serving.store.db.tables import SHOWN_ITEMS, RecommendationFeedback
from serving.store.db.writer import Task
from serving.store.repositories.events import RefusedPeople, add_items, add_users, now_ms
from serving.store.repositories.impressions import WriteImpressions


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What somebody did with one item of the list; time in milliseconds since 1970."""

    item_id: str
    outcome: str
    occurred_at: int
    value: float | None = None


class NotShown(ValueError):
    """An item that the list did not hold."""

    def __init__(self, item_id: str, request_id: str) -> None:
        super().__init__(f"Item '{item_id}' was not in the list of request '{request_id}'.")


class SomebodyElses(ValueError):
    """The list was shown to another person."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"The list of request '{request_id}' was shown to somebody else.")


@dataclass(frozen=True, slots=True)
class FeedbackReceipt:
    """`matched`: the list is known; the other three count outcomes: stored now, known before, and of people of whom
    nothing is recorded."""

    matched: bool
    stored: int
    duplicates: int
    ignored: int
    model_version: str | None


class RecordFeedback(Task[FeedbackReceipt]):
    """Store outcomes of a list, each (item, outcome) once. A list that is not known (impressions may be lost, and those
    of people who opted out are not kept) is accepted unmatched. Raises `NotShown`, `SomebodyElses`."""

    name = "feedback"

    def __init__(
        self,
        request_id: str,
        user_id: str | None,
        outcomes: Sequence[ItemOutcome],
        *,
        waiting: Callable[[str], Impression | None] = lambda request_id: None,
    ) -> None:
        self.request_id, self.user_id, self.outcomes, self._waiting = request_id, user_id, outcomes, waiting
        self.size = len(outcomes)

    def run(self, connection: Connection) -> FeedbackReceipt:
        queued = self._waiting(self.request_id)
        if queued is not None:
            WriteImpressions([queued], lambda outcome, number: None).run(connection)
        shown = self._shown(connection)
        person = self._checked(shown)
        now = now_ms()
        people = [] if person is None else [person]
        refused = RefusedPeople.among(connection, people)
        kept = [one for one in self.outcomes if person is None or not refused.refuses(person, one.occurred_at)]
        if not kept:
            return FeedbackReceipt(bool(shown), 0, 0, len(self.outcomes), self._version(shown))
        known = self._known(connection)
        new = {(one.item_id, one.outcome): one for one in kept if (one.item_id, one.outcome) not in known}
        add_users(connection, people, now, refused.erased)
        add_items(connection, {one.item_id for one in new.values()}, now)
        _INSERT(
            connection,
            [
                (self.request_id, one.item_id, person, one.outcome, one.value, one.occurred_at, now)
                for one in new.values()
            ],
        )
        return FeedbackReceipt(
            bool(shown), len(new), len(kept) - len(new), len(self.outcomes) - len(kept), self._version(shown)
        )

    def _shown(self, connection: Connection) -> dict[str, tuple[str, str | None]]:
        """Person and model version of each item of the list."""
        statement = select(SHOWN_ITEMS.c.item_id, SHOWN_ITEMS.c.user_id, SHOWN_ITEMS.c.model_version).where(
            SHOWN_ITEMS.c.request_id == self.request_id
        )
        return {item_id: (user_id, version) for item_id, user_id, version in connection.execute(statement)}

    def _checked(self, shown: dict[str, tuple[str, str | None]]) -> str | None:
        if not shown:
            return self.user_id
        for one in self.outcomes:
            if one.item_id not in shown:
                raise NotShown(one.item_id, self.request_id)
        person = next(iter(shown.values()))[0]
        if self.user_id is not None and self.user_id != person:
            raise SomebodyElses(self.request_id)
        return person

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
