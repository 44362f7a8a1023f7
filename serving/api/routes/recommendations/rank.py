"""Candidates of the caller, ordered for one user."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, FailFast, Field, StrictBool, StrictInt
from starlette.responses import Response

from serving.api.dependencies import ServiceDep
from serving.api.fields import Body, LookupId, LookupName
from serving.errors import Problem, documented
from serving.lists.candidates import Cause
from serving.recommend.request import AUTO, RecommendationRequest
from serving.recommend.response import RecommendedItem
from serving.security.authentication import Principal, requires

router = APIRouter(prefix="/api", tags=["recommendations"])


class RankBody(Body):
    """The user, and the candidates."""

    user_id: LookupId = Field(examples=["42"])
    items: Annotated[list[LookupId], FailFast()] = Field(
        min_length=1, examples=[["2858", "260", "1"]], description="candidates; one that is given twice counts once"
    )
    limit: StrictInt | None = Field(None, ge=1, examples=[2], description="of the best; null: all of them")
    strategy: LookupName = Field(AUTO, description="as for recommendations")
    lambda_: Annotated[float, Field(strict=True)] = Field(
        1.0,
        alias="lambda",
        ge=0,
        le=1,
        description="maximal marginal relevance: 1 the model's order, 0 the most varied",
    )
    exclude: list[LookupId] = Field([], max_length=100, description="candidates to leave out")
    category: list[LookupId] = Field([], max_length=20, description="only candidates of these categories")
    exclude_seen: StrictBool = Field(False, description="leave out candidates that the user has seen")
    explain: StrictBool = Field(False, description="a reason for each item")


class LeftOut(BaseModel):
    """A candidate that is not in the list."""

    item_id: str = Field(examples=["260"])
    cause: Cause = Field(
        examples=["unknown"], description="unknown to the served version, hidden, seen, excluded, of another category"
    )


class RankedBody(BaseModel):
    """The candidates, best first, ordered by exactly one model version."""

    user_id: str = Field(examples=["42"])
    items: list[RecommendedItem]
    left_out: list[LeftOut] = Field(description="candidates that are not listed, and why")
    method_used: str = Field(examples=["als"], description="a model, `popularity`, or `preferences` (declared ones)")
    model_version: str | None = Field(examples=["7"], description="null: made from the service's own data")
    diversity_score: float | None = Field(
        examples=[0.41], description="1 minus the mean similarity of the items' pairs; null for fewer than two items"
    )
    degraded: bool = Field(examples=[False], description="made without the live history: the database was unavailable")
    request_id: str = Field(examples=["b8d1c0c4a6f34a57"], description="to be sent with feedback on this list")


@router.post("/rank", response_model=RankedBody, responses=documented(400, 401, 403, 408, 413, 422, 429, 503))
async def rank(
    body: RankBody, request: Request, service: ServiceDep, principal: Annotated[Principal, Depends(requires("client"))]
) -> Response:
    """The caller's candidates in the order of the user's preference, with scores; hidden items are left out."""
    principal.require_user(body.user_id)
    most = service.settings.max_batch
    if len(body.items) > most:
        raise Problem(422, "invalid-request", f"body.items: at most {most} candidates are ranked at once.")
    candidates = tuple(dict.fromkeys(body.items))
    wanted = RecommendationRequest(
        body.user_id,
        min(body.limit or most, len(candidates)),
        body.strategy,
        body.lambda_,
        tuple(body.exclude),
        tuple(body.category),
        body.exclude_seen,
        body.explain,
    )
    request_id: str = request.scope["request_id"]
    served = service.select_model(body.strategy)
    found, left_out, degraded = await service.lists.rank(served, wanted, candidates, request_id)
    causes = [{"item_id": item_id, "cause": cause} for item_id, cause in left_out.items()]
    content = found.with_request(body.user_id, request_id, degraded, left_out=causes)
    return Response(content, media_type="application/json")
