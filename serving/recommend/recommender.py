"""One list end to end: live history, hidden items, cache, ranking, serialization, metrics and impressions."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from recstage.errors import RecstageError, StoreError
from recstage.models.base import POPULARITY
from serving.catalogue.fields import TEXT, FieldReader
from serving.catalogue.merged import MergedCatalogue
from serving.catalogue.placement import PlacedItem
from serving.errors import Problem
from serving.interfaces import Dependencies, HiddenItems, History, Impression, Precomputed, nothing_is_shown
from serving.models.loaded_model import LoadedModel
from serving.models.time_limit import ModelCalls, ModelTimeout
from serving.monitoring import logging as logs
from serving.monitoring.metrics import Metrics
from serving.recommend.cache import Cache, NoCache
from serving.recommend.explanations import PREFERENCES, name_of
from serving.recommend.new_items import placed_scores, with_new_items
from serving.recommend.ranking import Failures, diversity_of, explored, recommend
from serving.recommend.reads import StateReader
from serving.recommend.request import AUTO, Assignment, RankedItems, RecommendationRequest
from serving.recommend.response import SerializedList, interleaved
from serving.recommend.state import ListState
from serving.rules.arrange import arrange_stored
from serving.rules.engine import RuleEngine
from serving.rules.plan import ListPlan
from serving.rules.query import references
from serving.settings import ServingSettings

log = logging.getLogger("serving.recommend.recommender")
STAGE_SAMPLE = 8
"""Of so many lists the stages of one are observed: observing all of them costs 4 % of an uncached list."""
CLOCK_SKEW_MS = 60_000
"""The clocks of the registry and of what computes lists ahead of time may differ by so much."""
DEFAULT_REQUEST = RecommendationRequest("")
T = TypeVar("T")
FAILED = "error"
"""The method of a list that could not be made."""


class RecommendationService(StateReader):
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
        super().__init__(settings, dependencies, metrics, threads, rule_engine)
        self._cache = cache
        self._observed: Counter[str] = Counter()
        self._caching = not isinstance(cache, NoCache)
        self._precomputed = settings.precomputed
        self._random = np.random.default_rng()
        self.calls = ModelCalls(settings.threads, settings.model_timeout_seconds)

    async def make(
        self, assignment: Assignment, request: RecommendationRequest, request_id: str
    ) -> tuple[SerializedList, bool]:
        """The list, and whether it is degraded: made without data that was unavailable.

        A list that cannot be made is recorded as an impression without items, so that a version is judged by it.
        """
        started = time.perf_counter()
        try:
            return await self._make(assignment, request, request_id, started)
        except (Problem, RecstageError):  # the request is wrong, or the service has no model: no fault of the version
            raise
        except Exception:
            self._record_failure(assignment, request, request_id, started)
            raise

    async def _make(
        self, assignment: Assignment, request: RecommendationRequest, request_id: str, started: float
    ) -> tuple[SerializedList, bool]:
        served = assignment.served
        history, history_unavailable, hidden = await self.moment(request.user_id)
        state = await self.state(served, hidden)
        degraded = history_unavailable or state.degraded
        self.observe_stage("reads", time.perf_counter() - started)
        try:
            if assignment.other is None:
                found = await self._list(state, request, history, degraded)
            else:
                other = await self.state(assignment.other, hidden)
                first, second = [await self._list(one, request, history, degraded, False) for one in (state, other)]
                found = first if state.rules.ruleset.arranges else interleaved(first, second, request.limit)
        except ModelTimeout:
            found, degraded = await self.without_model(state, request, history), True
        seconds = time.perf_counter() - started
        self.record(found, request, history, request_id, seconds, assignment)
        return found, degraded

    async def scores(
        self, served: LoadedModel, user_id: str, item_ids: Sequence[str], history: History, strategy: str
    ) -> tuple[list[float], str, bool]:
        """Scores of the given items for one user, the model used, and whether a model was too slow or raised.

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
        failures = Failures(self.model_failed)
        arguments = (served, strategy, user, list(new.values()), index[index >= 0], failures)
        work = placed_scores
        late = False
        try:
            own, trained, method = await self.limited(served, work, *arguments)
        except ModelTimeout:
            self.timed_out()
            (own, trained, method), late = work(served, POPULARITY, *arguments[2:]), True
        by_id = dict(zip(new, own.tolist(), strict=True))
        rest = iter(trained.tolist())
        scores = [next(rest) if at >= 0 else by_id[one] for one, at in zip(item_ids, index.tolist(), strict=True)]
        return scores, method, late or failures.any

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

    # -- from a ranking to an answer ----------------------------------------------------------------------------------

    async def serialized(
        self,
        ranked: RankedItems,
        request: RecommendationRequest,
        state: ListState,
        propensities: tuple[float, ...] = (),
    ) -> SerializedList:
        """A ranking with the titles and the fields of the catalogue as it is now; `propensities`: 1 where there are
        none."""
        fields = None
        if request.fields:
            fields = await self.fields(ranked.item_ids, request.fields, state.fields, state.catalogue)
        return SerializedList.of(ranked, state.catalogue.changed_titles, fields, propensities)

    async def fields(
        self, item_ids: Sequence[str], names: Sequence[str], reader: FieldReader, catalogue: MergedCatalogue
    ) -> list[dict[str, Any]]:
        """The named fields of each item."""
        described = [item_id for item_id in item_ids if TEXT in names and catalogue.describes(item_id)]
        texts = await self.in_thread(self._texts, described) if described else {}
        return reader.read(item_ids, names, texts)

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _list(
        self, state: ListState, request: RecommendationRequest, history: History, degraded: bool, explore: bool = True
    ) -> SerializedList:
        """The list by one version, from the cache where it is there. Explored lists are drawn anew for each request."""
        if request.given:  # a list does not depend on what its version does not look at
            used = state.served.request_keys | references(request.filters) | state.rules.ruleset.references
            request = replace(request, given=tuple(one for one in request.given if one[0] in used))
        if explore and self._settings.exploration > 0 and history.personal:
            return await self._explored(state, request, history)
        key = state.cache_key(history, request)
        found = await self._cache.get(key) if self._caching else None
        if found is not None:
            self._metrics.cache_hits.inc()
            self.count_source("cache")
            return found
        found = await self._compute(state, request, history)
        if self._caching:
            self._metrics.cache_misses.inc()
            if not degraded and not found.degraded:
                await self._cache.put(key, found)
        return found

    async def _explored(self, state: ListState, request: RecommendationRequest, history: History) -> SerializedList:
        """A list whose slots were swapped, at random, with candidates: see `recstage.experiments.exploration`."""
        state.check(request)
        served, share = state.served, self._settings.exploration
        arguments = (served, request, history, state.hidden, share, self._random, self.model_failed, state.rules)
        started = time.perf_counter()
        ranked, chances = await self.limited(served, explored, *arguments)
        self.count_ranking(ranked, time.perf_counter() - started)
        return await self.serialized(ranked, request, state, chances)

    async def _compute(self, state: ListState, request: RecommendationRequest, history: History) -> SerializedList:
        state.check(request)
        served = state.served
        if self._precomputed == "always" or (self._precomputed == "slow" and served.slow):
            stored = await self._stored(state, request, history)
            if stored is not None:
                self.count_source("precomputed")
                stored = self.with_new_items(stored, state, request, history)
                return await self.serialized(stored, request, state)
        arguments = (state, request, history)
        started = time.perf_counter()
        ranked = await self.limited(served, self.ranked, *arguments)
        ranked_at = time.perf_counter()
        self.count_ranking(ranked, ranked_at - started)
        found = await self.serialized(ranked, request, state)
        self.observe_stage("serialize", time.perf_counter() - ranked_at)
        return found

    def count_ranking(self, ranked: RankedItems, seconds: float) -> None:
        """Count how a list was ranked, and how long that took."""
        self.observe_stage("rank", seconds)
        if ranked.method in (POPULARITY, PREFERENCES):
            self.count_source("popularity")
        else:
            if self._observed["rank"] % STAGE_SAMPLE == 1 % STAGE_SAMPLE:  # the same lists whose stage is observed
                self._metrics.observe_scoring(name_of(ranked.method), seconds)
            self.count_source("fallback" if ranked.served.source is None else "model")

    def observe_stage(self, stage: str, seconds: float) -> None:
        """Observe a stage of a list, and add it to the line of the request in the log."""
        seen = self._observed[stage]
        self._observed[stage] = seen + 1
        if seen % STAGE_SAMPLE == 0:
            self._metrics.observe_stage(stage, seconds)
        details = logs.request_details.get()
        if details is not None:
            details[f"{stage}_ms"] = round(seconds * 1000, 2)

    def count_source(self, source: str) -> None:
        """Count where a list came from, and add it to the line of the request in the log."""
        self._metrics.count_source(source)
        logs.add_details(list_source=source)

    async def limited(self, served: LoadedModel, work: Callable[..., T], *arguments: object) -> T:
        """A call of a version's models: on the event loop where they are fast, else in a thread, for a limited time.

        Raises `ModelTimeout`.
        """
        if served.slow or self.calls.in_thread(served.key):
            return await self.calls.run(work, *arguments)
        started = time.perf_counter()
        result = work(*arguments)
        self.calls.overran(served.key, time.perf_counter() - started)
        return result

    async def without_model(self, state: ListState, request: RecommendationRequest, history: History) -> SerializedList:
        """The list by popularity, because a model did not answer in time."""
        self.timed_out()
        ranked = self.ranked(state, replace(request, strategy=POPULARITY), history)
        return await self.serialized(ranked, request, state)

    def timed_out(self) -> None:
        """Count an answer that was made without a model, because that took too long."""
        self._metrics.fallbacks.labels("model-timeout").inc()

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
        user = state.served.user_context(request.user_id, history, request.given)
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
        user = served.user_context(request.user_id, history, request.given)
        if user.users is not user.trained:  # the user has interacted since training
            return None
        source = self._dependencies.precomputed
        try:
            staged = served.source.staged
            since = max(0, staged.created_at - CLOCK_SKEW_MS)
            arguments = (request.user_id, staged.name, staged.version, since)
            stored = (
                source.precomputed(*arguments) if source.fast else await self.in_thread(source.precomputed, *arguments)
            )
        except StoreError as error:
            self.degraded("precomputed", error)
            return None
        if stored is None:
            return None
        known = request.known(history.profile)
        plan = state.rules.plan(served, request.list_kind, len(user.users.items), request.categories, known)
        return _as_now(served, request, state.hidden, stored, plan)

    def record(
        self,
        found: SerializedList,
        request: RecommendationRequest,
        history: History,
        request_id: str,
        seconds: float,
        assignment: Assignment | None = None,
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
        if history.personal and (found.item_ids or not _narrowed(request)) and not nothing_is_shown.get():
            self._dependencies.impressions.record(
                Impression(
                    request_id=request_id,
                    user_id=request.user_id,
                    item_ids=found.item_ids,
                    scores=found.scores,
                    propensities=found.propensities or (1.0,) * len(found.item_ids),
                    method=found.method,
                    model_version=found.version,
                    timestamp=int(time.time()),
                    experiment=None if assignment is None else assignment.experiment,
                    arm=None if assignment is None else assignment.arm,
                    chance=1.0 if assignment is None else assignment.chance,
                    teams=found.teams,
                    milliseconds=round(seconds * 1000, 3),
                    segment=None if assignment is None else assignment.segment,
                )
            )

    def _record_failure(
        self, assignment: Assignment, request: RecommendationRequest, request_id: str, started: float
    ) -> None:
        try:
            if not self._dependencies.histories.last_known(request.user_id).personal:
                return
            self._dependencies.impressions.record(
                Impression(
                    request_id=request_id,
                    user_id=request.user_id,
                    item_ids=(),
                    scores=(),
                    propensities=(),
                    method=FAILED,
                    model_version=assignment.served.version,
                    timestamp=int(time.time()),
                    experiment=assignment.experiment,
                    arm=assignment.arm,
                    chance=assignment.chance,
                    milliseconds=round((time.perf_counter() - started) * 1000, 3),
                    segment=assignment.segment,
                )
            )
        except StoreError:  # what failed first is what is told
            log.warning("a failed list was not recorded", extra={"event": "degraded", "what": "impressions"})


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


def _narrowed(request: RecommendationRequest) -> bool:
    """Whether the request itself may leave nothing to list: then an empty list is no fault of the version."""
    return bool(request.exclude or request.categories or request.filters or request.shown)
