"""Lists besides the one for a known user, end to end: histories, cache, ranking, serialization, impressions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recstage.errors import StoreError
from recstage.models.base import POPULARITY
from serving.interfaces import NO_HISTORY, Dependencies, History
from serving.lists.batch import recommend_many, score_many
from serving.lists.candidates import Cause, RankedCandidates, rank_candidates
from serving.lists.similar_items import is_quick, similar_items
from serving.models.loaded_model import LoadedModel
from serving.models.time_limit import ModelTimeout
from serving.monitoring.metrics import Metrics
from serving.recommend.cache import Cache, NoCache
from serving.recommend.explanations import name_of
from serving.recommend.ranking import Failures
from serving.recommend.recommender import RecommendationService
from serving.recommend.request import Assignment, RankedItems, RecommendationRequest
from serving.recommend.response import SerializedList, interleaved
from serving.recommend.state import ListState

TOGETHER = 16
"""So many users of a batch are ranked on the event loop by one call of each model before other requests go on."""
SESSION = "\x00session"
"""The user of a session: an id that no data set holds."""


@dataclass(frozen=True, slots=True)
class UserListResult:
    """The list of one user of a batch; `request_id` of its impression."""

    user_id: str
    found: SerializedList
    request_id: str
    degraded: bool
    experiment: dict[str, object] | None
    """The place of the list in an experiment, for the response."""
    unlearned: dict[str, list[str]]
    """What of the request its version could make nothing of, for the response."""


class ListService:
    """Makes lists for many users, for sessions, and of given candidates."""

    def __init__(
        self, recommender: RecommendationService, dependencies: Dependencies, metrics: Metrics, cache: Cache
    ) -> None:
        """Keep the collaborators: `recommender` reads histories and hidden items, and records what was shown."""
        self._recommender, self._dependencies = recommender, dependencies
        self._metrics, self._cache, self._caching = metrics, cache, not isinstance(cache, NoCache)

    async def rank(
        self, assignment: Assignment, request: RecommendationRequest, item_ids: tuple[str, ...], request_id: str
    ) -> tuple[SerializedList, dict[str, Cause], bool]:
        """The caller's candidates as a list, those that are left out and why, and whether it is degraded."""
        started = time.perf_counter()
        history, unavailable, hidden = await self._recommender.moment(request.user_id)
        state = await self._recommender.state(assignment.served, hidden)
        found, left_out, degraded = await self._ranked(state, request, item_ids, history)
        if assignment.other is not None and not state.rules.ruleset.arranges:
            other = await self._recommender.state(assignment.other, hidden)
            found = interleaved(found, (await self._ranked(other, request, item_ids, history))[0], request.limit)
        self._recommender.record(found, request, history, request_id, time.perf_counter() - started, assignment)
        return found, left_out, degraded or unavailable

    async def _ranked(
        self, state: ListState, request: RecommendationRequest, item_ids: tuple[str, ...], history: History
    ) -> tuple[SerializedList, dict[str, Cause], bool]:
        """The candidates by one version."""
        served, degraded = state.served, state.degraded
        state.check(request)
        arguments = (served, request, item_ids, history, state.hidden, self._recommender.model_failed, state.rules)
        found: RankedCandidates
        try:
            found = await self._recommender.limited(served, rank_candidates, *arguments)
        except ModelTimeout:
            self._recommender.timed_out()
            found, degraded = rank_candidates(served, replace(request, strategy=POPULARITY), *arguments[2:]), True
        return await self._recommender.serialized(found.ranked, request, state), found.left_out, degraded

    async def similar(
        self, served: LoadedModel, request: RecommendationRequest, item_ids: tuple[str, ...], request_id: str
    ) -> tuple[SerializedList, bool]:
        """The items similar to the given ones, all of them known, and whether the list is degraded.

        The list is stored as shown to the user of the request, where it names one.
        """
        started = time.perf_counter()
        state = await self._recommender.state(served)
        key = ("similar", item_ids, *state.cache_key(NO_HISTORY, replace(request, user_id="")))
        found = await self._cache.get(key)
        if found is None:
            self._metrics.cache_misses.inc()
            state.check(request)
            arguments = (served, request, item_ids, state.hidden, state.rules)
            if is_quick(served):
                ranked = similar_items(*arguments)
            else:
                ranked = await self._recommender.in_thread(similar_items, *arguments)
            found = await self._recommender.serialized(ranked, request, state)
            if not state.degraded and not found.degraded:
                await self._cache.put(key, found)
        else:
            self._metrics.cache_hits.inc()
        history = replace(NO_HISTORY, personal=False)
        if request.user_id:
            history, _ = await self._recommender.history(request.user_id)
        self._recommender.record(found, request, history, request_id, time.perf_counter() - started)
        return found, state.degraded

    async def session(
        self,
        served: LoadedModel,
        request: RecommendationRequest,
        history: History,
        shown_to: str | None,
        request_id: str,
    ) -> tuple[SerializedList, bool]:
        """The list for a history that the request brings, and whether it is degraded.

        Args:
            served: the loaded model that ranks.
            request: the parameters; its user is not looked at.
            history: what the request brings.
            shown_to: under whose id the list is stored as shown; None: it is not stored.
            request_id: of the impression.
        """
        started = time.perf_counter()
        state = await self._recommender.state(served)
        wanted = replace(request, user_id=SESSION, list_kind="session")
        key = ("session", history.item_ids, history.weights, *state.cache_key(history, wanted))
        found = await self._cache.get(key)
        if found is None:
            self._metrics.cache_misses.inc()
            state.check(wanted)
            work = self._recommender.ranked
            arguments = (state, wanted, history)
            try:
                ranked = await self._recommender.limited(served, work, *arguments)
            except ModelTimeout:
                self._recommender.timed_out()
                ranked, state = (
                    work(state, replace(wanted, strategy=POPULARITY), history),
                    replace(state, degraded=True),
                )
            found = await self._recommender.serialized(ranked, wanted, state)
            if not state.degraded and not found.degraded:
                await self._cache.put(key, found)
        else:
            self._metrics.cache_hits.inc()
        stored = replace(history, personal=shown_to is not None)
        shown = replace(wanted, user_id=shown_to or SESSION)
        self._recommender.record(found, shown, stored, request_id, time.perf_counter() - started)
        return found, state.degraded

    async def batch(
        self,
        assignments: Mapping[str, Assignment],
        requests: Mapping[str, RecommendationRequest],
        request_id: str,
        *,
        shown: bool,
    ) -> list[UserListResult]:
        """The lists of many users, ranked by one call of each model.

        Args:
            assignments: for whom, and which version makes their list.
            requests: of each user; they differ in the user alone.
            request_id: of the request; each list has one of its own.
            shown: whether the lists count as shown, and are stored as impressions.
        """
        started = time.perf_counter()
        self._metrics.batch_users.observe(len(assignments))
        histories, unavailable = await self._many_histories(list(assignments))
        hidden = await self._recommender.hidden()
        by_version: dict[str, tuple[LoadedModel, list[tuple[str, History]]]] = {}
        for user_id, history in histories:
            one = assignments[user_id]
            for version in (one.served, *(() if one.other is None else (one.other,))):
                by_version.setdefault(version.key, (version, []))[1].append((user_id, history))
        made: dict[str, dict[str, SerializedList]] = {}
        degraded, arranged = unavailable, False
        for key, (version, users) in by_version.items():
            state = await self._recommender.state(version, hidden)
            made[key] = await self._lists(state, requests, users, unavailable)
            degraded, arranged = degraded or state.degraded, arranged or state.rules.ruleset.arranges
        seconds = (time.perf_counter() - started) / max(1, len(histories))
        results = []
        for place, (user_id, history) in enumerate(histories):
            assignment, own_id = assignments[user_id], f"{request_id[:56]}.{place}"
            found = made[assignment.served.key][user_id]
            if assignment.other is not None and not arranged:
                found = interleaved(found, made[assignment.other.key][user_id], requests[user_id].limit)
            to_store = history if shown else replace(history, personal=False)
            self._recommender.record(found, requests[user_id], to_store, own_id, seconds, assignment)
            told = requests[user_id].unlearned_by(assignment.served)
            results.append(UserListResult(user_id, found, own_id, degraded, assignment.body, told))
        return results

    async def _lists(
        self,
        state: ListState,
        requests: Mapping[str, RecommendationRequest],
        users: Sequence[tuple[str, History]],
        unavailable: bool,
    ) -> dict[str, SerializedList]:
        """The list of each user by one version; `unavailable`: not all histories could be read."""
        state.check(next(iter(requests.values())))
        if state.rules.ruleset.rules:  # without rules they are the lists of single requests, from the same cache
            requests = {user_id: replace(one, list_kind="batch") for user_id, one in requests.items()}
        found, missing = await self._cached(state, requests, users)
        step = max(1, len(missing)) if state.served.slow else TOGETHER
        for first in range(0, len(missing), step):
            some = missing[first : first + step]
            computed = await self._ranked_together(state, requests[some[0][0]], some)
            for (user_id, history), ranked in zip(some, computed, strict=True):
                own = requests[user_id]
                ranked = self._recommender.with_new_items(ranked, state, own, history)
                found[user_id] = one = await self._recommender.serialized(ranked, own, state)
                if self._caching and not (state.degraded or unavailable or one.degraded):
                    await self._cache.put(state.cache_key(history, own), one)
            await asyncio.sleep(0)
        return found

    async def _ranked_together(
        self, state: ListState, request: RecommendationRequest, users: Sequence[tuple[str, History]]
    ) -> list[RankedItems]:
        """The rankings of some users by one call of each model: on the event loop where the version is fast."""
        arguments = (state.served, request, users, state.hidden, self._recommender.model_failed, state.rules)
        began = time.perf_counter()
        if state.served.slow:
            computed = await self._recommender.in_thread(recommend_many, *arguments)
        else:
            computed = recommend_many(*arguments)
        seconds = time.perf_counter() - began
        self._recommender.observe_stage("rank", seconds)
        for model in {name_of(one.method) for one in computed}:
            self._metrics.observe_scoring(model, seconds)
        return computed

    async def scores(
        self, served: LoadedModel, strategy: str, user_ids: Sequence[str], items: NDArray[np.int32]
    ) -> tuple[NDArray[np.float32], list[str], bool]:
        """Scores of the same items for many users, float32[n_users, n_items]; the model of each; whether degraded."""
        histories, unavailable = await self._many_histories(user_ids)
        failures = Failures(self._recommender.model_failed)
        scores, methods = await self._recommender.in_thread(score_many, served, strategy, histories, items, failures)
        return scores, methods, unavailable or failures.any

    async def _cached(
        self, state: ListState, requests: Mapping[str, RecommendationRequest], histories: Sequence[tuple[str, History]]
    ) -> tuple[dict[str, SerializedList], list[tuple[str, History]]]:
        """The lists that are in the cache, under the keys of single requests, and the users who have none."""
        if not self._caching:
            return {}, list(histories)
        found: dict[str, SerializedList] = {}
        missing = []
        for user_id, history in histories:
            kept = await self._cache.get(state.cache_key(history, requests[user_id]))
            if kept is None:
                missing.append((user_id, history))
            else:
                found[user_id] = kept
        self._metrics.cache_hits.inc(len(found))
        self._metrics.cache_misses.inc(len(missing))
        return found, missing

    async def _many_histories(self, user_ids: Sequence[str]) -> tuple[list[tuple[str, History]], bool]:
        """`_histories`: on the event loop where the database answers fast and the users are few."""
        if self._dependencies.histories.fast and len(user_ids) <= TOGETHER:
            return self._histories(user_ids)
        return await self._recommender.in_thread(self._histories, user_ids)

    def _histories(self, user_ids: Sequence[str]) -> tuple[list[tuple[str, History]], bool]:
        """Each user's current history, and whether one could not be read."""
        source, unavailable = self._dependencies.histories, False
        found = []
        for user_id in user_ids:
            history = None
            if not unavailable:  # after the first failure no timeout for each of the others
                try:
                    history = source.history(user_id)
                except StoreError as error:
                    self._recommender.degraded("history", error)
                    unavailable = True
            found.append((user_id, source.last_known(user_id) if history is None else history))
        return found, unavailable
