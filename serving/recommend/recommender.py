"""One list from beginning to end: who answers, what the person did, the cache, the answer, and what is noted of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TypeVar

import numpy as np
import orjson

from recstage.errors import StoreError
from serving.errors import Problem
from serving.interfaces import Dependencies, HiddenItems, History, Impression, Precomputed
from serving.models.loaded_model import LoadedModel
from serving.monitoring.metrics import Metrics
from serving.recommend.cache import Cache, CachedResponse
from serving.recommend.explanations import name_of
from serving.recommend.ranking import answer, diversity_of, scores_of
from serving.recommend.request import AUTO, RankedItems, RecommendationRequest
from serving.settings import ServingSettings

log = logging.getLogger("serving.recommend.recommender")
T = TypeVar("T")


class RecommendationService:
    """Makes lists from whichever version it is given."""

    def __init__(
        self, settings: ServingSettings, dependencies: Dependencies, metrics: Metrics, cache: Cache, threads: Executor
    ) -> None:
        self._settings, self._ports, self._metrics = settings, dependencies, metrics
        self._cache, self._threads = cache, threads
        self._hidden = HiddenItems()
        self._caching = settings.cache_size > 0 or settings.redis_url is not None
        self._precomputed = settings.precomputed

    async def make(
        self, served: LoadedModel, ask: RecommendationRequest, request_id: str
    ) -> tuple[CachedResponse, bool]:
        """The list, and whether it was made without something that was out of reach (a degraded answer)."""
        began = time.perf_counter()
        history, degraded = await self.history(ask.user_id)
        hidden, blind = await self.hidden()
        degraded = degraded or blind
        key = (served.key, history.version, hidden.version, ask)
        listed = await self._cache.get(key) if self._caching else None
        if listed is None:
            listed = await self._listed(served, ask, history, hidden)
            if self._caching:
                self._metrics.cache_misses.inc()
                if not degraded:
                    await self._cache.put(key, listed)
        else:
            self._metrics.cache_hits.inc()
        self._note(listed, ask, history, request_id, time.perf_counter() - began)
        return listed, degraded

    async def scores(
        self, served: LoadedModel, user_id: str, item_ids: Sequence[str], history: History, strategy: str
    ) -> tuple[list[float], str]:
        """Scores of the given items, and what spoke. Raises a problem that names the items that are unknown."""
        index = served.train.items.index_of(list(item_ids))
        unknown = [item for item, place in zip(item_ids, index.tolist(), strict=True) if place < 0]
        if unknown:
            few = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
            raise Problem(404, "unknown-item", f"body.item_ids: the served version does not know {few}.")
        person = served.person(user_id, history)
        arguments = (served, strategy, person, index, self._model_failed)
        found, method = await self.in_thread(scores_of, *arguments) if served.slow else scores_of(*arguments)
        return found.tolist(), method

    # -- what the database knows --------------------------------------------------------------------------------------

    async def history(self, user_id: str) -> tuple[History, bool]:
        """What the person did until now, and whether that could not be read."""
        source = self._ports.histories
        try:
            if source.fast:
                return source.history(user_id), False
            return await self.in_thread(source.history, user_id), False
        except StoreError as error:
            self._degraded("history", error)
            return source.last_known(user_id), True

    async def hidden(self) -> tuple[HiddenItems, bool]:
        """What must not be served now; while the database is away, what was last known."""
        source = self._ports.items
        try:
            self._hidden = source.hidden() if source.fast else await self.in_thread(source.hidden)
            return self._hidden, False
        except StoreError as error:
            self._degraded("hidden", error)
            return self._hidden, True

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """`work` in a thread, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _listed(
        self, served: LoadedModel, ask: RecommendationRequest, history: History, hidden: HiddenItems
    ) -> CachedResponse:
        if self._precomputed == "always" or (self._precomputed == "slow" and served.slow):
            stored = await self._stored(served, ask, history, hidden)
            if stored is not None:
                return stored
        if served.slow:
            found = await self.in_thread(answer, served, ask, history, hidden, self._model_failed)
        else:
            found = answer(served, ask, history, hidden, self._model_failed)
        return serialize(found)

    async def _stored(
        self, served: LoadedModel, ask: RecommendationRequest, history: History, hidden: HiddenItems
    ) -> CachedResponse | None:
        """The list made ahead of time, where it still says what would be answered now."""
        plain = replace(ask, limit=10, user_id="") == RecommendationRequest("")
        if served.version is None or not plain or not history.personal or history.forgotten:
            return None
        person = served.person(ask.user_id, history)
        if person.users is not person.trained:  # something happened since
            return None
        source = self._ports.precomputed
        try:
            arguments = (ask.user_id, served.version)
            stored = (
                source.precomputed(*arguments) if source.fast else await self.in_thread(source.precomputed, *arguments)
            )
        except StoreError as error:
            self._degraded("precomputed", error)
            return None
        return None if stored is None else _kept(served, ask, hidden, stored)

    def _note(
        self, listed: CachedResponse, ask: RecommendationRequest, history: History, request_id: str, seconds: float
    ) -> None:
        metrics = self._metrics
        metrics.count_answer(listed.method)
        if ask.strategy not in (AUTO, name_of(listed.method)):
            metrics.fallbacks.labels("strategy").inc()
        if listed.scores:
            metrics.scores.observe(listed.scores[0])
        if seconds * 1000 > self._settings.slow_request_ms:
            metrics.slow.inc()
            log.warning(
                "slow recommendation",
                extra={
                    "event": "slow-recommendation",
                    "milliseconds": round(seconds * 1000, 1),
                    "method_used": listed.method,
                    "model_version": listed.version,
                    "limit": ask.limit,
                },
            )
        if history.personal and listed.item_ids:
            self._ports.shown.record(
                Impression(
                    request_id=request_id,
                    user_id=ask.user_id,
                    item_ids=listed.item_ids,
                    scores=listed.scores,
                    propensities=(1.0,) * len(listed.item_ids),
                    method=listed.method,
                    model_version=listed.version,
                    timestamp=int(time.time()),
                )
            )

    def _model_failed(self, model: str) -> None:
        self._metrics.fallbacks.labels("model-failed").inc()

    def _degraded(self, what: str, error: StoreError) -> None:
        self._metrics.fallbacks.labels(f"no-{what}").inc()
        log.warning("answered without the database", extra={"event": "degraded", "what": what, "error": str(error)})


def serialize(found: RankedItems) -> CachedResponse:
    """An answer as the JSON of its response, but for its end: whom it was for, and what changes with each request."""
    served = found.served
    ids, titles = served.item_ids, served.titles
    indices, scores = found.items.tolist(), found.scores.tolist()
    items = [
        {"item_id": ids[item], "score": score, "title": titles[item] or None}
        for item, score in zip(indices, scores, strict=True)
    ]
    if found.reasons is not None:
        for one, reason in zip(items, found.reasons, strict=True):
            one["reason"] = reason
    body = {
        "items": items,
        "method_used": found.method,
        "model_version": served.version,
        "diversity_score": found.diversity,
    }
    shown = tuple(ids[item] for item in indices)
    return CachedResponse(orjson.dumps(body)[:-1], shown, tuple(scores), found.method, served.version)


def _kept(
    served: LoadedModel, ask: RecommendationRequest, hidden: HiddenItems, stored: Precomputed
) -> CachedResponse | None:
    """A stored list without what was hidden since; None where too little of it is left."""
    index = served.train.items.index_of(list(stored.item_ids))
    scores = np.asarray(stored.scores, np.float32)
    kept = index >= 0
    kept[kept] = ~served.excluded(hidden)[index[kept]]
    index, scores = index[kept][: ask.limit], scores[kept][: ask.limit]
    if len(index) < ask.limit:
        return None
    diversity = diversity_of(served.item_similarity.vectors, index)
    return serialize(RankedItems(served, index, scores, stored.method, diversity))
