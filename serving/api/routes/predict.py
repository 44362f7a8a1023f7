"""Scores of given items for one person."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, FailFast, Field

from serving.api.dependencies import ServiceDep
from serving.api.fields import Body
from serving.api.query import Id, Name
from serving.errors import Problem, documented
from serving.recommend.request import AUTO
from serving.security.authentication import Principal, requires

router = APIRouter(prefix="/api", tags=["recommendations"])


class PredictBody(Body):
    """For whom, and which items."""

    user_id: Id = Field(examples=["42"])
    item_ids: Annotated[list[Id], FailFast()] = Field(min_length=1, examples=[["2858", "260"]])
    strategy: Name = Field(AUTO, description="as for recommendations")


class ScoredItem(BaseModel):
    """An item and its score."""

    item_id: str = Field(examples=["2858"])
    score: float = Field(examples=[0.93], description="comparable within one answer only")


class PredictionBody(BaseModel):
    """Scores in the order asked, by exactly one version."""

    user_id: str = Field(examples=["42"])
    items: list[ScoredItem]
    method_used: str = Field(examples=["als"], description="what spoke: a model, popularity, or declared preferences")
    model_version: str | None = Field(examples=["7"], description="null: made from the service's own data")
    degraded: bool = Field(examples=[False], description="made without the live history: the database was out of reach")


@router.post("/predict", responses=documented(400, 401, 403, 404, 408, 413, 422, 429, 503))
async def predict(
    wanted: PredictBody, service: ServiceDep, principal: Annotated[Principal, Depends(requires("client"))]
) -> PredictionBody:
    """Scores of given items for one person, comparable among each other. An unknown item is refused by name."""
    principal.require_user(wanted.user_id)
    most = service.settings.max_batch
    if len(wanted.item_ids) > most:
        raise Problem(422, "invalid-request", f"body.item_ids: at most {most} items are scored at once.")
    served = service.chosen(wanted.strategy)
    history, degraded = await service.lists.history(wanted.user_id)
    scores, method = await service.lists.scores(served, wanted.user_id, wanted.item_ids, history, wanted.strategy)
    items = [ScoredItem(item_id=item, score=score) for item, score in zip(wanted.item_ids, scores, strict=True)]
    return PredictionBody(
        user_id=wanted.user_id,
        items=items,
        method_used=method,
        model_version=served.version,
        degraded=degraded,
    )
