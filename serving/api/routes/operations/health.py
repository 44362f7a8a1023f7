"""Liveness, readiness, and the metrics."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from starlette.responses import Response

from serving.api.dependencies import ServiceDep
from serving.errors import documented
from serving.service import Service

router = APIRouter(tags=["health"])
LEAST_STALE_SECONDS, POLLS_MISSED = 30.0, 10
"""A poll that hangs, or a sync process that does not run, is told after so long, and so many polls."""
EXPOSITION = """# HELP recstage_recommendations_total Lists served, by the model used
# TYPE recstage_recommendations_total counter
recstage_recommendations_total{method_used="als"} 1.0
"""


class Live(BaseModel):
    """The process responds."""

    status: Literal["live"] = Field("live", examples=["live"])


class Ready(BaseModel):
    """The service can make lists. `degraded`: what is unavailable, and what it does without."""

    status: Literal["ready"] = Field("ready", examples=["ready"])
    model_version: str | None = Field(examples=["7"], description="null: fallback models serve")
    degraded: list[str] = Field(
        examples=[["the database is unavailable; lists are made without live histories"]],
        description="what is unavailable, one sentence each",
    )


async def degradations(service: Service) -> list[str]:
    """What is unavailable, one sentence each; empty when everything works."""
    found = []
    failure, poll = service.versions.failure, service.versions.last_poll()
    if failure is not None:
        found.append(f"version {failure.version} cannot be served: {failure.reason}")
    if poll is not None and poll.problem is not None:
        found.append(poll.problem)
    if poll is not None and service.settings.follow_registry:
        age = time.time() - poll.at
        if age > max(LEAST_STALE_SECONDS, POLLS_MISSED * service.settings.poll_seconds):
            found.append(f"the registry was last polled {age:.0f} seconds ago; promotions since are not followed")
    if service.versions.served is None:
        source = "its own data" if service.fallback.served is not None else "popularity alone"
        staged = None if poll is None else poll.version
        what = "nothing is staged Production" if staged is None else f"version {staged} is not on this machine"
        found.append(f"{what}; the service answers from {source}")
    health = service.dependencies.health_check.health
    fast = service.dependencies.histories.fast
    if (health() if fast else await service.recommender.in_thread(health)) == "unavailable":
        found.append("the database is unavailable; lists are made without live histories")
    return found


@router.get("/health/live")
async def live() -> Live:
    """Whether the process responds; touches nothing else."""
    return Live()


@router.get("/health/ready", responses=documented(503))
async def ready(service: ServiceDep) -> Ready:
    """Whether recommendations can be made."""
    served = service.select_model()
    return Ready(model_version=served.version, degraded=await degradations(service))


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "The exposition format of Prometheus",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": EXPOSITION}},
        },
        **documented(401, 403, 429, 503),
    },
)
def metrics(service: ServiceDep) -> Response:
    """Metrics for Prometheus."""
    return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)
