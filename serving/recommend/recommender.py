"""One list end to end: live history, hidden items, cache, ranking, serialization, metrics and impressions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from recstage.errors import StoreError
from serving.catalogue.fields import TEXT, FieldReader
from serving.catalogue.merged import MergedCatalogue, MergedCatalogues
from serving.catalogue.placement import PlacedItem, place
from serving.errors import Problem
from serving.interfaces import Dependencies, HiddenItems, History, Impression, Item, OwnCatalogue, Precomputed
from serving.models.loaded_model import LoadedModel
from serving.monitoring.metrics import Metrics
from serving.recommend.cache import Cache
from serving.recommend.explanations import name_of
from serving.recommend.new_items import placed_scores, with_new_items
from serving.recommend.ranking import diversity_of, recommend
from serving.recommend.request import AUTO, RankedItems, RecommendationRequest
from serving.recommend.response import SerializedList
from serving.recommend.state import ListState
from serving.rules.arrange import arrange_stored
from serving.rules.engine import ActiveRules, RuleEngine
from serving.rules.plan import ListPlan
from serving.settings import ServingSettings

log = logging.getLogger("serving.recommend.recommender")
T = TypeVar("T")
MAX_NEW_ITEMS = 200
"""Of the items that a version was not trained with, so many of the latest may be listed."""
MAX_PLACED = 10_000
DEFAULT_REQUEST = RecommendationRequest("")


class RecommendationService:
    """Makes lists with whichever loaded model it is given."""

    def __init__(
        self,
        settings: ServingSettings,
        dependencies: Dependencies,
        metrics: Metrics,
        cache: Cache,
        threads: Executor,
        rule_engine: RuleEngine,
    ) -> None:
        """Keep the collaborators.

        Args:
            settings: limits and what to cache.
            dependencies: the database, behind protocols.
            metrics: counts lists, fallbacks and cache hits.
            cache: serialized lists.
            threads: where slow models and slow reads run.
            rule_engine: compiles the business rules.
        """
        self._settings, self._dependencies, self._metrics = settings, dependencies, metrics
        self._cache, self._threads = cache, threads
        self._hidden = HiddenItems()
        self._own, self._catalogues = OwnCatalogue(), MergedCatalogues()
        self._rules, self._rules_read_at = ActiveRules(rule_engine), -1
        self._caching = settings.cache_size > 0 or settings.redis_url is not None
        self._precomputed = settings.precomputed

    async def make(
        self, served: LoadedModel, request: RecommendationRequest, request_id: str
    ) -> tuple[SerializedList, bool]:
        """The list, and whether it is degraded: made without data that was unavailable."""
        started = time.perf_counter()
        history, history_unavailable = await self.history(request.user_id)
        state = await self.state(served)
        degraded = history_unavailable or state.degraded
        key = state.cache_key(history, request)
        found = await self._cache.get(key) if self._caching else None
        if found is None:
            found = await self._compute(state, request, history)
            if self._caching:
                self._metrics.cache_misses.inc()
                if not degraded:
                    await self._cache.put(key, found)
        else:
            self._metrics.cache_hits.inc()
        self.record(found, request, history, request_id, time.perf_counter() - started)
        return found, degraded

    async def scores(
        self, served: LoadedModel, user_id: str, item_ids: Sequence[str], history: History, strategy: str
    ) -> tuple[list[float], str]:
        """Scores of the given items for one user, and the model used.

        Args:
            served: the loaded model that scores.
            user_id: for whom.
            item_ids: what is scored.
            history: the user's current history.
            strategy: a model by name, or `auto`.

        Raises:
            Problem: 404 that names the items that are unknown.
        """
        index = served.train.items.index_of(list(item_ids))
        new = await self._new_among(served, [item_ids[place] for place in np.flatnonzero(index < 0).tolist()])
        user = served.user_context(user_id, history)
        arguments = (served, strategy, user, list(new.values()), index[index >= 0], self.model_failed)
        work = placed_scores
        own, trained, method = await self.in_thread(work, *arguments) if served.slow else work(*arguments)
        by_id = dict(zip(new, own.tolist(), strict=True))
        rest = iter(trained.tolist())
        return [next(rest) if at >= 0 else by_id[one] for one, at in zip(item_ids, index.tolist(), strict=True)], method

    async def _new_among(self, served: LoadedModel, item_ids: Sequence[str]) -> dict[str, PlacedItem]:
        """Places of items that the version was not trained with. Raises a 404 problem where one has none."""
        if not item_ids:
            return {}
        hidden, _ = await self.hidden()
        catalogue, _ = await self.catalogue(served, hidden)
        own = list(dict.fromkeys(one for one in item_ids if catalogue.describes(one)))
        found = {one.item_id: one for one in await self.placed(served, catalogue, own)}
        known_items(served, [one for one in item_ids if one not in found])
        return found

    # -- reads from the database --------------------------------------------------------------------------------------

    async def history(self, user_id: str) -> tuple[History, bool]:
        """The user's current history, and whether it could not be read."""
        source = self._dependencies.histories
        try:
            if source.fast:
                return source.history(user_id), False
            return await self.in_thread(source.history, user_id), False
        except StoreError as error:
            self.degraded("history", error)
            return source.last_known(user_id), True

    async def hidden(self) -> tuple[HiddenItems, bool]:
        """The hidden items, and whether they could not be read; then they are those last read."""
        source = self._dependencies.items
        try:
            self._hidden = source.hidden() if source.fast else await self.in_thread(source.hidden)
            return self._hidden, False
        except StoreError as error:
            self.degraded("hidden", error)
            return self._hidden, True

    async def catalogue(self, served: LoadedModel | None, hidden: HiddenItems) -> tuple[MergedCatalogue, bool]:
        """The catalogue of the service over that of a loaded model, and whether the former could not be read.

        Args:
            served: the loaded model; None: there is none.
            hidden: as just read; says how new the catalogue must be.
        """
        source = self._dependencies.items
        unavailable = False
        try:
            if source.fast:
                self._own = source.catalogue(hidden.catalogue)
            elif self._own.version != hidden.catalogue:
                self._own = await self.in_thread(source.catalogue, hidden.catalogue)
        except StoreError as error:
            self.degraded("catalogue", error)
            unavailable = True
        return self._catalogues.of(served, self._own), unavailable

    async def rules(self, hidden: HiddenItems) -> tuple[ActiveRules, bool]:
        """The rules that hold now, and whether they could not be read; then they are those last read.

        They change with the version of the hidden items, or when one starts or ends: between, nothing is read.
        """
        until = self._rules.ruleset.valid_until
        if self._rules_read_at == hidden.version and (until is None or time.time() * 1000 < until):
            return self._rules, False
        source = self._dependencies.rules
        try:
            found = source.rules() if source.fast else await self.in_thread(source.rules)
        except StoreError as error:
            self.degraded("rules", error)
            return self._rules, True
        self._rules, self._rules_read_at = replace(self._rules, ruleset=found), hidden.version
        self._metrics.rules_version.set(found.version)
        return self._rules, False

    async def state(self, served: LoadedModel) -> ListState:
        """What a list is made with now, by a loaded model."""
        hidden, hidden_unavailable = await self.hidden()
        rules, rules_unavailable = await self.rules(hidden)
        catalogue, catalogue_unavailable = await self.catalogue(served, hidden)
        degraded = hidden_unavailable or rules_unavailable or catalogue_unavailable
        new_ids = catalogue.new_item_ids[:MAX_NEW_ITEMS] if self._settings.new_item_share else ()
        new_items = await self.placed(served, catalogue, new_ids) if new_ids else ()
        return ListState(served, hidden, rules, catalogue, degraded, new_items)

    async def placed(
        self, served: LoadedModel, catalogue: MergedCatalogue, item_ids: Sequence[str]
    ) -> list[PlacedItem]:
        """Where items belong that the version was not trained with; those without a place are left out.

        Places are kept until the version or the item changes.
        """
        kept: dict[tuple[str, int], PlacedItem | None] = served.placed_items
        keys = [(item_id, catalogue.updated_at(item_id)) for item_id in item_ids]
        missing = [key for key in keys if key not in kept]
        if missing:
            described = await self.in_thread(self._described, [item_id for item_id, _ in missing])
            kept.update(zip(missing, await self.in_thread(place, served, described), strict=True))
            while len(kept) > MAX_PLACED:
                del kept[next(iter(kept))]
        return [one for key in keys if (one := kept.get(key)) is not None]

    def _described(self, item_ids: Sequence[str]) -> list[Item]:
        """What the service's catalogue says of items; only their ids while the database is unavailable."""
        try:
            return [self._dependencies.items.item(item_id) or Item(item_id) for item_id in item_ids]
        except StoreError as error:
            self.degraded("catalogue", error)
            return [Item(item_id) for item_id in item_ids]

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """`work` in a thread, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    # -- from a ranking to an answer ----------------------------------------------------------------------------------

    async def serialized(self, ranked: RankedItems, request: RecommendationRequest, state: ListState) -> SerializedList:
        """A ranking with the titles and the fields of the catalogue as it is now."""
        fields = None
        if request.fields:
            fields = await self.fields(ranked.item_ids, request.fields, state.fields, state.catalogue)
        return SerializedList.of(ranked, state.catalogue.changed_titles, fields)

    async def fields(
        self, item_ids: Sequence[str], names: Sequence[str], reader: FieldReader, catalogue: MergedCatalogue
    ) -> list[dict[str, Any]]:
        """The named fields of each item."""
        described = [item_id for item_id in item_ids if TEXT in names and catalogue.describes(item_id)]
        texts = await self.in_thread(self._texts, described) if described else {}
        return reader.read(item_ids, names, texts)

    def _texts(self, item_ids: Sequence[str]) -> dict[str, str]:
        """Texts of the service's own catalogue; none while the database is unavailable."""
        try:
            found = [self._dependencies.items.item(item_id) for item_id in item_ids]
        except StoreError as error:
            self.degraded("catalogue", error)
            return {}
        return {one.item_id: one.text for one in found if one is not None}

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _compute(self, state: ListState, request: RecommendationRequest, history: History) -> SerializedList:
        state.check(request)
        served = state.served
        if self._precomputed == "always" or (self._precomputed == "slow" and served.slow):
            stored = await self._stored(state, request, history)
            if stored is not None:
                stored = self.with_new_items(stored, state, request, history)
                return await self.serialized(stored, request, state)
        arguments = (state, request, history)
        ranked = await self.in_thread(self.ranked, *arguments) if served.slow else self.ranked(*arguments)
        return await self.serialized(ranked, request, state)

    def ranked(self, state: ListState, request: RecommendationRequest, history: History) -> RankedItems:
        """The list for a request, new items in it."""
        found = recommend(state.served, request, history, state.hidden, self.model_failed, state.rules)
        return self.with_new_items(found, state, request, history)

    def with_new_items(
        self, found: RankedItems, state: ListState, request: RecommendationRequest, history: History
    ) -> RankedItems:
        """A list with the share of items that its model was not trained with."""
        places = int(self._settings.new_item_share * request.limit + 1e-9)
        candidates = state.new_candidates(request, history) if places and state.new_items else []
        if not candidates:
            return found
        user = state.served.user_context(request.user_id, history)
        return with_new_items(
            found,
            request.strategy,
            user,
            candidates,
            request.limit,
            places,
            explain=request.explain,
            on_failure=self.model_failed,
        )

    async def _stored(self, state: ListState, request: RecommendationRequest, history: History) -> RankedItems | None:
        """The precomputed list, where it equals what would be computed now."""
        default = replace(request, limit=DEFAULT_REQUEST.limit, user_id="", fields=()) == DEFAULT_REQUEST
        served = state.served
        if served.source is None or not default or not history.personal or history.forgotten:
            return None
        user = served.user_context(request.user_id, history)
        if user.users is not user.trained:  # the user has interacted since training
            return None
        source = self._dependencies.precomputed
        try:
            arguments = (request.user_id, served.source.staged.name, served.source.staged.version)
            stored = (
                source.precomputed(*arguments) if source.fast else await self.in_thread(source.precomputed, *arguments)
            )
        except StoreError as error:
            self.degraded("precomputed", error)
            return None
        if stored is None:
            return None
        plan = state.rules.plan(served, request.list_kind, len(user.users.items), request.categories)
        return _as_now(served, request, state.hidden, stored, plan)

    def record(
        self, found: SerializedList, request: RecommendationRequest, history: History, request_id: str, seconds: float
    ) -> None:
        """Count a list, log it where it was slow, and store its impressions."""
        metrics = self._metrics
        metrics.count_recommendation(found.method)
        if found.rules:
            metrics.count_rules(found.rules)
        if request.strategy not in (AUTO, name_of(found.method)):
            metrics.fallbacks.labels("strategy").inc()
        if found.scores:
            metrics.scores.observe(found.scores[0])
        if seconds * 1000 > self._settings.slow_request_ms:
            metrics.slow.inc()
            log.warning(
                "slow recommendation",
                extra={
                    "event": "slow-recommendation",
                    "milliseconds": round(seconds * 1000, 1),
                    "method_used": found.method,
                    "model_version": found.version,
                    "limit": request.limit,
                },
            )
        if history.personal and found.item_ids:
            self._dependencies.impressions.record(
                Impression(
                    request_id=request_id,
                    user_id=request.user_id,
                    item_ids=found.item_ids,
                    scores=found.scores,
                    propensities=(1.0,) * len(found.item_ids),
                    method=found.method,
                    model_version=found.version,
                    timestamp=int(time.time()),
                )
            )

    def model_failed(self, model: str) -> None:
        """Count a model that raised."""
        self._metrics.fallbacks.labels("model-failed").inc()

    def degraded(self, what: str, error: StoreError) -> None:
        """Count and log that something could not be read."""
        self._metrics.fallbacks.labels(f"no-{what}").inc()
        log.warning("answered without the database", extra={"event": "degraded", "what": what, "error": str(error)})


def known_items(served: LoadedModel, item_ids: Sequence[str]) -> NDArray[np.int32]:
    """Indices of the items of a request: int32[n]. Raises a 404 problem that names those the version does not know."""
    index = served.train.items.index_of(list(item_ids))
    unknown = [item for item, place in zip(item_ids, index.tolist(), strict=True) if place < 0]
    if unknown:
        few = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        raise Problem(404, "unknown-item", f"body.item_ids: the served version does not know {few}.")
    return index


def _as_now(
    served: LoadedModel,
    request: RecommendationRequest,
    hidden: HiddenItems,
    stored: Precomputed,
    plan: ListPlan | None,
) -> RankedItems | None:
    """A precomputed list as the rules and the hidden items want it now; None where that needs more than the list."""
    index = served.train.items.index_of(list(stored.item_ids))
    scores = np.asarray(stored.scores, np.float32)
    out = served.excluded(hidden)
    if plan is not None and plan.excluded is not None:
        out = out | plan.excluded
    kept = index >= 0
    kept[kept] = ~out[index[kept]]
    index, scores = index[kept], scores[kept]
    names: tuple[str, ...] = ()
    if plan is not None and plan.arranges:
        found = arrange_stored(plan, request.limit, out, index, scores)
        if found is None:
            return None
        index, scores, applied = found.items, found.scores, found.applied
        names = tuple(rule.name for rule in applied)
    elif plan is not None:
        names = tuple(rule.name for rule in plan.excluding)
    index, scores = index[: request.limit], scores[: request.limit]
    if len(index) < request.limit:
        return None
    diversity = diversity_of(served.item_similarity.vectors, index)
    return RankedItems(served, index, scores, stored.method, diversity, rules_applied=names)
