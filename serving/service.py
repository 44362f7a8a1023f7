"""All that a running service holds together; one for each application, found by routes in `app.state.service`."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from recstage.errors import valid_names
from recstage.models.base import POPULARITY
from serving.errors import Problem
from serving.interfaces import Dependencies
from serving.models.fallback import FallbackModels
from serving.models.loaded_model import LoadedModel
from serving.models.repository import BundleRepository
from serving.models.sync_process import SyncSupervisor
from serving.models.version_manager import ProductionPointer, VersionManager
from serving.monitoring.metrics import Metrics
from serving.recommend.cache import Cache, CachedResponse, LocalCache, NoCache, RedisCache
from serving.recommend.ranking import answer
from serving.recommend.recommender import RecommendationService
from serving.recommend.request import AUTO, RecommendationRequest
from serving.recommend.strategies import strategies
from serving.settings import ServingSettings

WARM_REQUESTS = 20


class Service:
    """Settings, ports, metrics, the engines that follow Production, and the models from own data."""

    def __init__(
        self,
        settings: ServingSettings,
        dependencies: Dependencies,
        metrics: Metrics,
        pointer: ProductionPointer | None = None,
        reverse_pointer: ProductionPointer | None = None,
    ) -> None:
        self.settings, self.dependencies, self.metrics = settings, dependencies, metrics
        self.watching = SyncSupervisor(settings) if settings.follow_registry and pointer is None else None
        self.threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="answer")
        self.cache = _cache(settings)
        self.lists = RecommendationService(settings, dependencies, metrics, self.cache, self.threads)
        self.versions = self._version_manager(settings.model_name, pointer)
        self.reverse_versions = self._version_manager(settings.reverse_model_name, reverse_pointer)
        self.own = FallbackModels(
            dependencies.training_data, settings.fallback_refresh_seconds, lambda: self.versions.served is None
        )
        self.opted_out: frozenset[str] | None = None
        """Who must not be named, as far as the database last said."""
        self.erased: frozenset[str] = frozenset()
        """Who must not be named either: those of them that a model brought up so far."""
        self._strategies = strategies()

    def _version_manager(self, name: str, pointer: ProductionPointer | None) -> VersionManager:
        if pointer is None:
            repository = BundleRepository(self.settings.bundle_root, name)
            repository.prepare()
            pointer = repository
        return VersionManager(
            name,
            pointer,
            self.metrics,
            retry_seconds=self.settings.retry_seconds,
            warm=self._warm,
            before_withdrawal=self._prepare_to_stand_alone if name == self.settings.model_name else _nothing,
        )

    async def start(self) -> None:
        """Answer from what is on disk as soon as it is loaded; the registry is looked at from then on."""
        await asyncio.to_thread(self.versions.start)
        await asyncio.to_thread(self.reverse_versions.start)
        await asyncio.to_thread(self.own.start)
        if self.watching is not None:
            self.watching.start()

    async def stop(self) -> None:
        if self.watching is not None:
            await asyncio.to_thread(self.watching.stop)
        for part in (self.versions, self.reverse_versions, self.own):
            await asyncio.to_thread(part.stop)
        await self.cache.close()
        self.threads.shutdown(wait=False, cancel_futures=True)
        for port in self.dependencies.closing:
            port.close()

    # -- answering ----------------------------------------------------------------------------------------------------

    async def recommend(self, ask: RecommendationRequest, request_id: str) -> tuple[CachedResponse, bool]:
        """The list for one request, from one version, and whether it is degraded. Raises a problem for a strategy that
        is none, and a 503 problem while there is nothing to answer from."""
        return await self.lists.make(self.chosen(ask.strategy), ask, request_id)

    def chosen(self, strategy: str = AUTO) -> LoadedModel:
        """What answers a request now: take it once. Raises as `recommend` does."""
        served = self.versions.served
        if served is None:
            served = self.own.served or self.versions.withdrawn
            if served is None:
                raise Problem(503, "no-production", self.why_not_ready(), headers={"retry-after": "5"})
        if strategy in (AUTO, POPULARITY) or strategy in served.methods:
            return served
        if strategy not in self._strategies:
            names = self._strategies | set(served.methods)
            raise Problem(
                422, "unknown-strategy", f"There is no strategy '{strategy}'. {valid_names(strategy, names)}."
            )
        own = self.own.served
        if own is not None and strategy in own.methods:
            return own
        self.own.want()
        return served

    @property
    def swapping(self) -> bool:
        """Whether a version is being made ready beside the one that answers: that takes their time, but passes."""
        return self.versions.swapping or self.reverse_versions.swapping

    # -- what it says of itself ---------------------------------------------------------------------------------------

    async def degraded(self) -> list[str]:
        """What is done without, in words; empty when all is well."""
        found = []
        failure, poll = self.versions.failure, self.versions.last_poll()
        if failure is not None:
            found.append(f"version {failure.version} cannot be served: {failure.reason}")
        if poll is not None and poll.problem is not None:
            found.append(poll.problem)
        if self.versions.served is None:
            what = "its own data" if self.own.served is not None else "popularity alone"
            found.append(f"nothing is staged Production; the service answers from {what}")
        health = self.dependencies.health_check.health
        if (health() if self.dependencies.histories.fast else await self.lists.in_thread(health)) == "away":
            found.append("the database is away; lists are made without live histories")
        return found

    def why_not_ready(self) -> str:
        """Why nothing is served, and what to do about it."""
        name, failure, poll = self.settings.model_name, self.versions.failure, self.versions.last_poll()
        if failure is not None:
            return f"Version {failure.version} of '{name}' cannot be served: {failure.reason}"
        if poll is None:
            return f"The registry has not been read yet; '{name}' will be served as soon as it is."
        if poll.problem is not None:
            return f"No version of '{name}' is on disk, and none can be fetched: {poll.problem}"
        if poll.version is None:
            return f"No version of '{name}' is staged Production; promote one (mlflow run . -e promote)."
        return f"Version {poll.version} of '{name}' is being fetched."

    # -- inside -------------------------------------------------------------------------------------------------------

    def _prepare_to_stand_alone(self) -> None:
        self.own.make()

    def _warm(self, served: LoadedModel) -> LoadedModel:
        """Ask a new version what it will be asked, before anybody else does; measures whether it is slow."""
        assert served.source is not None
        people = [golden.user_id for golden in served.source.manifest.golden] or [""]
        seconds = []
        for i in range(WARM_REQUESTS):
            began = time.perf_counter()
            answer(served, RecommendationRequest(people[i % len(people)]))
            seconds.append(time.perf_counter() - began)
        answer(served, RecommendationRequest("\x00nobody", diversify=0.7))
        return replace(served, slow=float(np.median(seconds)) * 1000 > self.settings.slow_model_ms)


def _nothing() -> None:
    pass


def _cache(settings: ServingSettings) -> Cache:
    if settings.redis_url is not None:
        return RedisCache(settings.redis_url.get_secret_value(), settings.cache_seconds)
    return LocalCache(settings.cache_size, settings.cache_seconds) if settings.cache_size else NoCache()
