"""The application factory: routes, middleware and service put together. Importing this starts nothing."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from serving import errors
from serving.api.openapi import describe
from serving.api.routes import ROUTERS
from serving.api.routes.recommendations.for_user import DIRECT_ROUTES
from serving.interfaces import Dependencies
from serving.models.version_manager import ProductionPointer
from serving.monitoring import logging as logs
from serving.monitoring.metrics import Metrics
from serving.operations.operations import Operations
from serving.operations.quality import QualityMonitor
from serving.pages.problem_page import ProblemPages
from serving.pages.routes import PAGE_HEADERS
from serving.pages.routes import router as pages
from serving.patterns.keeper import PatternKeeper
from serving.redis_connection import RedisConnection
from serving.security.http_protocol import HeaderLimits, LimitedHttpProtocol
from serving.security.middleware import GuardMiddleware
from serving.service import Service
from serving.settings import ServingSettings, load
from serving.store.store import QUALITY, Store


def create_app(
    settings: ServingSettings,
    *,
    dependencies: Dependencies | None = None,
    pointer: ProductionPointer | None = None,
    reverse_pointer: ProductionPointer | None = None,
    staging_pointer: ProductionPointer | None = None,
    classifier_pointer: ProductionPointer | None = None,
    tune_gc: bool = False,
) -> FastAPI:
    """The service as an ASGI application; nothing is opened before it starts.

    Args:
        settings: every setting.
        dependencies: in place of the database, for tests.
        pointer: in place of the registry, for tests.
        reverse_pointer: the same for the reverse model.
        staging_pointer: the same for the version in Staging.
        classifier_pointer: the same for the item classifier.
        tune_gc: the process does nothing else, so its garbage collector may be tuned.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store = None
        if dependencies is None and settings.database_url:
            store = await asyncio.to_thread(Store.open, settings, app.state.metrics)
        app.state.store = store
        found = dependencies or (Dependencies() if store is None else store.dependencies())
        pointers = (pointer, reverse_pointer, staging_pointer, classifier_pointer)
        service = Service(settings, found, app.state.metrics, *pointers, redis=redis)
        app.state.service = service
        await service.start()
        erasing = None if store is None else asyncio.create_task(store.erasure_tasks.run())
        patterns = app.state.patterns = None if store is None else PatternKeeper(store, service)
        learning = None if patterns is None else asyncio.create_task(patterns.run())
        watched = None
        if store is not None and settings.quality_seconds > 0:
            metrics = app.state.metrics
            watched = QualityMonitor(
                store.reports,
                lambda: service.versions.served,
                metrics,
                settings.quality_seconds,
                partial(store.elected, QUALITY),
            )
            watched.start()
        if tune_gc:
            _freeze_loaded_objects()
        try:
            yield
        finally:
            for task in (erasing, learning):
                if task is not None:
                    task.cancel()
                    await asyncio.wait([task])
            if watched is not None:
                await asyncio.to_thread(watched.stop)
            await service.stop()

    app = FastAPIOffline(  # the pages of /docs and /redoc need no other server
        title="recstage",
        version=version("recstage"),
        summary="Recommendations from whichever model version is staged Production",
        lifespan=lifespan,
        telemetry=_telemetry(),
    )
    app.state.metrics = Metrics()
    redis = None if settings.redis_url is None else RedisConnection(settings.redis_url.get_secret_value())
    app.state.operations = Operations(app.state.metrics)
    errors.install(app)
    for router in (*ROUTERS, pages):
        app.include_router(router)
    describe(app, settings)

    def swapping() -> bool:
        service: Service | None = getattr(app.state, "service", None)
        return service is not None and service.swapping

    # around the framework's own middleware, which direct routes then skip: a tenth of a list's processor time
    stack: ASGIApp = GuardMiddleware(
        app.build_middleware_stack(),
        settings=settings,
        metrics=app.state.metrics,
        direct_routes=DIRECT_ROUTES,
        tolerate_queue=swapping,
        redis=redis,
    )
    stack = ProblemPages(stack, PAGE_HEADERS)
    if settings.cors_origins:
        stack = CORSMiddleware(
            stack,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["authorization", "content-type", "x-api-key", "x-request-id", "idempotency-key"],
            expose_headers=["x-request-id", "retry-after"],
        )
    app.middleware_stack = stack
    return app


def from_environment() -> FastAPI:
    """`create_app` for servers that start their own workers: settings from conf/serving.yaml and the environment."""
    settings = load()
    logs.configure(settings.log_level)
    app = create_app(settings, tune_gc=True)
    LimitedHttpProtocol.limits = HeaderLimits.of(settings, app.state.metrics)
    return app


def _telemetry() -> TelemetryConfig:
    """OpenTelemetry only where its variables are set: the framework otherwise looks for it at each request."""
    wanted = any(name.startswith("OTEL_") for name in os.environ)
    return {"tracing": wanted, "metrics": wanted, "logs": wanted}


def _freeze_loaded_objects() -> None:
    """Exempt what is loaded by now from garbage collection, which would stop all requests for tens of milliseconds."""
    gc.collect()
    gc.freeze()
