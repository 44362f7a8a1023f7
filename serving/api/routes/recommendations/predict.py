"""Scores of given items for one user."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, FailFast, Field

from serving.api.dependencies import ServiceDep
from serving.api.fields import Body, LookupId, LookupName
from serving.errors import Problem, documented
from serving.recommend.request import AUTO
from serving.security.authentication import Principal, requires

router = APIRouter(prefix="/api", tags=["recommendations"])


class PredictBody(Body):
    """The user, and the items to score."""

    user_id: LookupId = Field(examples=["42"])
    item_ids: Annotated[list[LookupId], FailFast()] = Field(min_length=1, examples=[["2858", "260"]])
    strategy: LookupName = Field(AUTO, description="as for recommendations")


class ScoredItem(BaseModel):
    """An item and its score."""

    item_id: str = Field(examples=["2858"])
    score: float = Field(examples=[0.93], description="comparable within one response only")


class PredictionBody(BaseModel):
    """Scores in the order of the request, by exactly one model version: in a split that of the user's group."""

    user_id: str = Field(examples=["42"])
    items: list[ScoredItem]
    method_used: str = Field(examples=["als"], description="a model, `popularity`, or `preferences` (declared ones)")
    model_version: str | None = Field(examples=["7"], description="null: made from the service's own data")
    degraded: bool = Field(
        examples=[False],
        description="made without the live history (no database), or without the strategy asked for",
    )


@router.post(
    "/predict",
    summary="Score given items for one user",
    responses=documented(400, 401, 403, 404, 408, 413, 422, 429, 503),
)
async def predict(
    body: PredictBody, service: ServiceDep, principal: Annotated[Principal, Depends(requires("client"))]
) -> PredictionBody:
    """Scores of the given items for one user, comparable with each other. Unknown items are refused by name."""
    principal.require_user(body.user_id)
    most = service.settings.max_batch
    if len(body.item_ids) > most:
        raise Problem(422, "invalid-request", f"body.item_ids: at most {most} items are scored at once.")
    production = service.select_model(body.strategy)
    served = service.experiments.version_for(production, body.strategy, body.user_id)
    history, degraded = await service.recommender.history(body.user_id)
    arguments = (body.user_id, body.item_ids, history, body.strategy)
    try:
        scores, method, late = await service.recommender.scores(served, *arguments)
    except Problem:
        if served is production:
            raise
        served = production  # the challenger does not know all of the items
        scores, method, late = await service.recommender.scores(served, *arguments)
    items = [ScoredItem(item_id=item, score=score) for item, score in zip(body.item_ids, scores, strict=True)]
    return PredictionBody(
        user_id=body.user_id,
        items=items,
        method_used=method,
        model_version=served.version,
        degraded=degraded or late or service.lacks(body.strategy),
    )
