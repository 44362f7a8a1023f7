"""Liveness, readiness, and the metrics."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from starlette.responses import Response

from serving.api.dependencies import ServiceDep
from serving.errors import documented
from serving.health.conditions import ActiveCondition

router = APIRouter(tags=["health"])
EXPOSITION = """# HELP recstage_recommendations_total Lists served, by the model used
# TYPE recstage_recommendations_total counter
recstage_recommendations_total{method_used="als"} 1.0
"""


class Live(BaseModel):
    """The process responds."""

    status: Literal["live"] = Field("live", examples=["live"])


class ConditionBody(BaseModel):
    """Something that is wrong; docs/monitoring.md lists all."""

    name: str = Field(examples=["database-unavailable"], description="stable name, also in metrics and logs")
    model: str | None = Field(examples=["recommender"], description="the registered model it is of; null: the service")
    text: str = Field(examples=["the database is unavailable; lists are made without live histories"])
    remedy: str = Field(examples=["Start the database"])


def condition_bodies(found: list[ActiveCondition]) -> list[ConditionBody]:
    """Conditions as the routes show them."""
    return [
        ConditionBody(name=one.condition.label, model=one.model or None, text=one.sentence, remedy=one.condition.remedy)
        for one in found
    ]


class Ready(BaseModel):
    """The service can make lists. `degraded`: what is unavailable, and what it does without."""

    status: Literal["ready"] = Field("ready", examples=["ready"])
    model_version: str | None = Field(examples=["7"], description="null: fallback models serve")
    degraded: list[str] = Field(
        examples=[["the database is unavailable; lists are made without live histories"]],
        description="what is wrong, one sentence each",
    )
    conditions: list[ConditionBody] = Field(description="the same, with names and remedies")


@router.get("/health/live", summary="Check that the process responds")
async def live() -> Live:
    """Whether the process responds; touches nothing else."""
    return Live()


@router.get("/health/ready", summary="Check that recommendations can be made", responses=documented(503))
async def ready(service: ServiceDep) -> Ready:
    """Whether recommendations can be made."""
    served = service.select_model()
    found = await service.conditions()
    return Ready(
        model_version=served.version,
        degraded=[one.sentence for one in found],
        conditions=condition_bodies(found),
    )


@router.get(
    "/metrics",
    summary="Export metrics for Prometheus",
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
    service.health.current()
    return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)
