"""Composition root: the parts of a running service, built from its settings; `app.state.service` of an application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from recstage.models.base import POPULARITY
from serving.audiences.service import AudienceService
from serving.classifier.loaded import LoadedClassifier
from serving.classifier.service import ClassifierService
from serving.experiments.bandit import Bandit
from serving.experiments.experiments import Experiments
from serving.experiments.shadow import Shadow
from serving.health.conditions import ActiveCondition, Condition
from serving.health.model_checks import of_registry, of_serving
from serving.health.monitor import HealthMonitor
from serving.interfaces import Dependencies
from serving.lists.candidates import Cause
from serving.lists.service import ListService, UserListResult
from serving.models.fallback import FallbackModels
from serving.models.loaded_model import LoadedModel
from serving.models.repository import BundleRepository, StagingRepository
from serving.models.sync_process import SyncSupervisor
from serving.models.version_manager import ProductionPointer, VersionManager
from serving.monitoring.metrics import Metrics
from serving.recommend.cache import Cache, LocalCache, NoCache, RedisCache
from serving.recommend.recommender import RecommendationService
from serving.recommend.request import AUTO, Assignment, RecommendationRequest
from serving.recommend.response import SerializedList
from serving.recommend.strategies import select_model, strategies
from serving.recommend.warm_up import warm_up
from serving.redis_connection import RedisConnection
from serving.rules.engine import RuleEngine
from serving.settings import ServingSettings, load_evaluation
from serving.streams.updates import Streams
from serving.trends.board import ActivityBoard
from serving.trends.service import TrendService

LEAST_OVERDUE_SECONDS, POLLS_MISSED = 30.0, 10
"""A poll of the registry that hangs, or a sync process that does not run, is told after so long, and so many polls."""
START_STEP_SECONDS = 0.05
OF_DATABASE = {
    "replica": Condition.REPLICA_UNUSED,
    "revision": Condition.REVISION_DIFFERS,
    "clock": Condition.CLOCK_DIFFERS,
}


class Service:
    """Holds the parts together and starts and stops them."""

    def __init__(
        self,
        settings: ServingSettings,
        dependencies: Dependencies,
        metrics: Metrics,
        pointer: ProductionPointer | None = None,
        reverse_pointer: ProductionPointer | None = None,
        staging_pointer: ProductionPointer | None = None,
        classifier_pointer: ProductionPointer | None = None,
        redis: RedisConnection | None = None,
    ) -> None:
        """Build the parts; nothing is started.

        Args:
            settings: every setting.
            dependencies: the database, behind protocols.
            metrics: those of the application.
            pointer: what is Production, in place of the folder of bundles; then no registry is followed.
            reverse_pointer: the same for the reverse model.
            staging_pointer: what is Staging, likewise.
            classifier_pointer: what is Production of the item classifier, likewise.
            redis: shared by all workers; closed with the service.
        """
        self.settings, self.dependencies, self.metrics = settings, dependencies, metrics
        self.evaluation = load_evaluation()
        self.sync = SyncSupervisor(settings) if settings.follow_registry and pointer is None else None
        self.threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="recommend")
        self._redis, self.cache = redis, _cache(settings, redis)
        self.rule_engine = RuleEngine(self.evaluation, metrics.rules_misfit.set)
        self.recommender = RecommendationService(
            settings, dependencies, metrics, self.cache, self.threads, self.rule_engine
        )
        self.lists = ListService(self.recommender, dependencies, metrics, self.cache)
        board = ActivityBoard(dependencies.activity, self.recommender.in_thread, settings.activity_refresh_seconds)
        self.trends = TrendService(self.recommender, board, dependencies, metrics, self.cache)
        self.streams = Streams(settings, metrics)
        self.versions = self._version_manager(settings.model_name, pointer)
        self.reverse_versions = self._version_manager(settings.reverse_model_name, reverse_pointer)
        self.staging = self._staging_manager(pointer, staging_pointer) if settings.experiments else None
        self.classifier = ClassifierService(self._classifier_versions(classifier_pointer), settings.label_below)
        self.bandit = Bandit(dependencies.rewards, settings.bandit_seconds)
        shadow = Shadow(metrics, settings.shadow_queue)
        self.experiments = Experiments(self.versions, self.staging, self.bandit, shadow, metrics, self.evaluation)
        self.fallback = FallbackModels(
            dependencies.training_data, settings.fallback_refresh_seconds, lambda: self.versions.served is None
        )
        self.audiences = AudienceService(settings, dependencies, metrics, self.evaluation)
        self._strategies = strategies()
        self.health = HealthMonitor(
            metrics,
            (
                lambda: of_registry(self.versions),
                lambda: of_registry(self.reverse_versions),
                lambda: of_registry(self.classifier.versions),
                lambda: of_serving(self.versions, self.fallback),
                self._of_experiment,
                self._of_database,
                self._of_redis,
            ),
        )

    def _of_experiment(self) -> Iterator[ActiveCondition]:
        if self.staging is not None:
            yield from of_registry(self.staging)
        if self.experiments.problem is not None:
            name = self.settings.model_name
            yield ActiveCondition(Condition.EXPERIMENT_REFUSED, name, self.experiments.problem)

    def _of_database(self) -> Iterator[ActiveCondition]:
        check = self.dependencies.health_check
        if check.health() == "unavailable":
            yield ActiveCondition(Condition.DATABASE_UNAVAILABLE)
        failed = check.write_failure()
        if failed is not None:
            yield ActiveCondition(Condition.WRITES_FAILING, detail=failed)
        for about, detail in check.troubles().items():
            yield ActiveCondition(OF_DATABASE[about], detail=detail)
        slow = self.recommender.calls.trouble
        if slow is not None:
            yield ActiveCondition(Condition.MODEL_TIMEOUT, detail=slow)
        waiting = check.open_tasks()
        if waiting is not None:
            yield ActiveCondition(Condition.ERASURES_OPEN, detail=waiting)

    def _of_redis(self) -> Iterator[ActiveCondition]:
        if self._redis is not None and self._redis.trouble is not None:
            yield ActiveCondition(Condition.REDIS_UNAVAILABLE, detail=self._redis.trouble)

    async def conditions(self) -> list[ActiveCondition]:
        """What is wrong now; empty when everything works."""
        if self.dependencies.histories.fast:
            return self.health.current()
        return await self.recommender.in_thread(self.health.current)

    def _version_manager(self, name: str, pointer: ProductionPointer | None) -> VersionManager:
        if pointer is None:
            repository = BundleRepository(self.settings.bundle_root, name)
            repository.prepare()
            pointer = repository
        settings = self.settings
        overdue = max(LEAST_OVERDUE_SECONDS, POLLS_MISSED * settings.poll_seconds)
        return VersionManager(
            name,
            pointer,
            self.metrics,
            retry_seconds=settings.retry_seconds,
            warm=lambda loaded: warm_up(loaded, settings.slow_model_ms),
            before_unset=self._fit_fallback if name == settings.model_name else lambda: None,
            overdue_seconds=overdue if settings.follow_registry else None,
        )

    def _classifier_versions(self, pointer: ProductionPointer | None) -> VersionManager[LoadedClassifier]:
        settings = self.settings
        if pointer is None:
            repository = BundleRepository(settings.bundle_root, settings.classifier_name)
            repository.prepare()
            pointer = repository
        return VersionManager(
            settings.classifier_name,
            pointer,
            self.metrics,
            load=LoadedClassifier.load,
            retry_seconds=settings.retry_seconds,
        )

    def _staging_manager(
        self, production: ProductionPointer | None, staging: ProductionPointer | None
    ) -> VersionManager | None:
        settings = self.settings
        if staging is None and production is not None:
            return None
        return VersionManager(
            f"{settings.model_name}@staging",
            staging or StagingRepository(settings.bundle_root, settings.model_name),
            self.metrics,
            retry_seconds=settings.retry_seconds,
            warm=lambda loaded: warm_up(loaded, settings.slow_model_ms),
        )

    def _fit_fallback(self) -> None:
        self.fallback.fit()

    async def start(self) -> None:
        """Serve what is on disk once it is loaded; from then on follow the registry.

        Where nothing can be served yet, this waits for the first poll, at most `start_wait_seconds`: callers wait for
        their connection meanwhile, in place of a 503.
        """
        await asyncio.to_thread(self.versions.start)
        await asyncio.to_thread(self.reverse_versions.start)
        await asyncio.to_thread(self.classifier.versions.start)
        if self.staging is not None:
            await asyncio.to_thread(self.staging.start)
        await asyncio.to_thread(self.fallback.start)
        if self.sync is not None:
            self.sync.start()
            await self._first_poll()
        self.health.start()

    async def _first_poll(self) -> None:
        until = time.monotonic() + self.settings.start_wait_seconds
        while time.monotonic() < until and not self.versions.decided and self.fallback.served is None:
            await asyncio.sleep(START_STEP_SECONDS)

    async def stop(self) -> None:
        """Stop every part, then close the database."""
        await asyncio.to_thread(self.health.stop)
        if self.sync is not None:
            await asyncio.to_thread(self.sync.stop)
        for part in (
            self.versions,
            self.reverse_versions,
            self.classifier,
            self.staging,
            self.fallback,
            self.bandit,
            self.experiments.shadow,
        ):
            if part is not None:
                await asyncio.to_thread(part.stop)
        await self.cache.close()
        self.threads.shutdown(wait=False, cancel_futures=True)
        for dependency in self.dependencies.closing:
            dependency.close()

    def select_model(self, strategy: str = AUTO) -> LoadedModel:
        """The loaded model for a strategy; see `serving.recommend.strategies.select_model`."""
        return select_model(strategy, self.versions, self.fallback, self._strategies)

    def model_or_none(self) -> LoadedModel | None:
        """The loaded model that serves by default; None where there is nothing to make lists from."""
        return self.versions.served or self.fallback.served or self.versions.last_popularity

    async def recommend(
        self, request: RecommendationRequest, request_id: str
    ) -> tuple[SerializedList, bool, Assignment]:
        """The list for one request, whether it is degraded, and its place in an experiment.

        Raises what `select_model` raises.
        """
        assignment = self.experiments.assign(self.select_model(request.strategy), request)
        found, degraded = await self.recommender.make(assignment, request, request_id)
        challenger = self.experiments.shadowed(assignment, request.user_id)
        if challenger is not None:
            await self._shadow(challenger, request, found)
        return found, degraded or self.lacks(request.strategy), assignment

    async def rank(
        self, request: RecommendationRequest, item_ids: tuple[str, ...], request_id: str
    ) -> tuple[SerializedList, dict[str, Cause], bool, Assignment]:
        """Candidates of the caller as a list: see `ListService.rank`; and the list's place in an experiment."""
        assignment = self.experiments.assign(self.select_model(request.strategy), request)
        return *(await self.lists.rank(assignment, request, item_ids, request_id)), assignment

    async def batch(
        self, request: RecommendationRequest, user_ids: Sequence[str], request_id: str, *, shown: bool
    ) -> list[UserListResult]:
        """The lists of many users: see `ListService.batch`."""
        served = self.select_model(request.strategy)
        requests = {one: replace(request, user_id=one) for one in user_ids}
        assignments = {one: self.experiments.assign(served, requests[one]) for one in user_ids}
        return await self.lists.batch(assignments, requests, request_id, shown=shown)

    async def _shadow(self, challenger: LoadedModel, request: RecommendationRequest, shown: SerializedList) -> None:
        """Let the challenger score the same list, unshown; a user who opted out is left out."""
        history, _ = await self.recommender.history(request.user_id)
        if history.personal:
            hidden, _ = await self.recommender.hidden()
            self.experiments.shadow.submit(challenger, request, history, hidden, shown.item_ids)

    def lacks(self, strategy: str) -> bool:
        """Whether the version that serves has no model of a strategy, so that another one answers."""
        return strategy not in (AUTO, POPULARITY) and strategy not in self.select_model().methods

    @property
    def swapping(self) -> bool:
        """Whether a version is being loaded while another serves: that takes processor time, but passes."""
        staging = self.staging is not None and self.staging.swapping
        return self.versions.swapping or self.reverse_versions.swapping or staging


def _cache(settings: ServingSettings, redis: RedisConnection | None) -> Cache:
    if redis is not None:
        return RedisCache(redis, settings.cache_seconds)
    return LocalCache(settings.cache_size, settings.cache_seconds) if settings.cache_size else NoCache()
