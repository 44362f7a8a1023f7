"""Whether the process lives, whether it can answer, and its metrics."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from starlette.responses import Response

from serving.api.dependencies import ServiceDep
from serving.errors import documented

router = APIRouter(tags=["health"])
EXPOSITION = """# HELP recstage_recommendations_total Lists answered, by what spoke
# TYPE recstage_recommendations_total counter
recstage_recommendations_total{method_used="als"} 1.0
"""


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = Field("live", examples=["live"])


class Ready(BaseModel):
    """The service can answer. `degraded`: by less than it should, and why."""

    status: Literal["ready"] = Field("ready", examples=["ready"])
    model_version: str | None = Field(examples=["7"], description="null: the service's own data answers")
    degraded: list[str] = Field(
        examples=[["the database is away; lists are made without live histories"]],
        description="what the service has to do without, in words",
    )


@router.get("/health/live")
async def live() -> Live:
    """Whether the process lives; touches nothing else."""
    return Live()


@router.get("/health/ready", responses=documented(503))
async def ready(service: ServiceDep) -> Ready:
    """Whether recommendations can be answered."""
    served = service.chosen()
    return Ready(model_version=served.version, degraded=await service.degraded())


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
