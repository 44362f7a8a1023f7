"""Keeps the learned patterns of users: refreshed soon after their events, and whenever they are read too old."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from recstage.errors import StoreError
from serving.catalogue.merged import MergedCatalogue
from serving.interfaces import History
from serving.models.loaded_model import LoadedModel
from serving.patterns.learned import Patterns, learned
from serving.service import Service
from serving.store.patterns.stored import PutPatterns, events_of_patterns, stored_patterns
from serving.store.repositories.events import now_ms
from serving.store.store import Store

log = logging.getLogger("serving.patterns")
REFRESH_SECONDS = 0.1
"""Shortest pause between two refreshes."""
SHARE_OF_TIME = 0.02
"""Of the event loop's time, at most, for refreshes: no caller waits for them, and each would wait behind them."""
MOST_WAITING = 10_000
"""Users who wait for a refresh; of more the oldest are left to the next read."""


def pause_after(seconds: float) -> float:
    """Seconds until the next refresh, after one that took so long."""
    return max(REFRESH_SECONDS, seconds / SHARE_OF_TIME)


@dataclass(frozen=True, slots=True)
class KeptPatterns:
    """Patterns, and when they were made (milliseconds since 1970)."""

    patterns: Patterns
    updated_at: int


class PatternKeeper:
    """Reads and refreshes the patterns of users. A row is current while history, version and catalogue are the same."""

    def __init__(self, store: Store, service: Service) -> None:
        self._store, self._service = store, service
        self._waiting: dict[str, None] = {}

    def touched(self, user_ids: Iterable[str]) -> None:
        """These users have new events: they are refreshed soon."""
        for user_id in user_ids:
            self._waiting[user_id] = None
        while len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]

    async def run(self) -> None:
        """Refresh until cancelled."""
        took = 0.0
        while True:
            await asyncio.sleep(pause_after(took))
            began = time.perf_counter()
            await self.step()
            took = time.perf_counter() - began

    async def step(self) -> None:
        """Refresh the one who has waited longest. Never raises but `CancelledError`."""
        if not self._waiting:
            return
        user_id = next(iter(self._waiting))
        del self._waiting[user_id]
        try:
            await self.of(user_id)
        except StoreError:  # the database is unavailable, which health tells: the next read makes them anew
            return
        except Exception:  # the loop must survive
            log.exception("patterns were not refreshed", extra={"event": "patterns-failed"})

    async def of(self, user_id: str) -> KeptPatterns:
        """The patterns of a user as of now; empty ones of a user who opted out. Raises `StoreError`."""
        served = self._service.model_or_none()
        hidden, _ = await self._service.recommender.hidden()
        catalogue, _ = await self._service.recommender.catalogue(served, hidden)
        if self._store.fast:  # a millisecond or two: sooner than a thread would take over
            return self._of(user_id, served, catalogue)
        return await asyncio.to_thread(self._of, user_id, served, catalogue)

    def _of(self, user_id: str, served: LoadedModel | None, catalogue: MergedCatalogue) -> KeptPatterns:
        reader = self._store.reader
        history = self._store.histories.history(user_id)
        if not history.personal:
            return KeptPatterns(learned((), catalogue.categories, ()), now_ms())
        made_from = f"{history.version} {' '.join(map(str, catalogue.key))}"
        kept = stored_patterns(reader, user_id)
        if kept is not None and kept[1] == made_from:
            return KeptPatterns(Patterns(**kept[0]), kept[2])
        liked = _liked(served, user_id, history)
        found = KeptPatterns(learned(liked, catalogue.categories, events_of_patterns(reader, user_id)), now_ms())
        task = PutPatterns(user_id, history.version, found.patterns.as_json(), made_from, found.updated_at)
        self._store.writer.submit(task)  # not waited for: a row that was not written is made anew
        return found


def _liked(served: LoadedModel | None, user_id: str, history: History) -> list[tuple[str, float]]:
    """Items and weights of a history, training included, and of live items that the version does not know."""
    if served is None:
        return list(zip(history.item_ids, history.weights, strict=True))
    users = served.user_context(user_id, history).users
    ids = [served.item_ids[item] for item in users.items.tolist()]
    known = zip(ids, users.weights.tolist(), strict=True)
    strange = [
        one for one in zip(history.item_ids, history.weights, strict=True) if served.train.items.find(one[0]) < 0
    ]
    return [*known, *strange]
