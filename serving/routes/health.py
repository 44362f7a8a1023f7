"""Whether the process lives, whether it can answer, and its metrics."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import Response

from serving.problems import documented
from serving.service import Serving

router = APIRouter(tags=["health"])


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """The service can answer. `degraded`: by less than it should, and why."""

    status: Literal["ready"] = "ready"
    model_version: str | None
    degraded: list[str]


@router.get("/health/live")
async def live() -> Live:
    """Whether the process lives; touches nothing else."""
    return Live()


@router.get("/health/ready", responses=documented(503))
async def ready(service: Serving) -> Ready:
    """Whether recommendations can be answered."""
    served = service.chosen()
    return Ready(model_version=served.version, degraded=await service.degraded())


@router.get("/metrics", include_in_schema=False)
def metrics(service: Serving) -> Response:
    """Metrics for Prometheus."""
    return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)
