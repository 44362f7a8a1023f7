"""Candidates of the caller, ordered for one user."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, FailFast, Field, StrictBool, StrictInt
from starlette.responses import Response

from serving.api.dependencies import ServiceDep
from serving.api.fields import LookupId
from serving.api.list_body import ListBody
from serving.errors import Problem, documented
from serving.lists.candidates import Cause
from serving.recommend.response import ExperimentBody, RecommendedItem, Unlearned
from serving.security.authentication import Principal, requires

router = APIRouter(prefix="/api", tags=["recommendations"])


class RankBody(ListBody):
    """The user, the candidates, and the parameters of the list."""

    user_id: LookupId = Field(examples=["42"])
    items: Annotated[list[LookupId], FailFast()] = Field(
        min_length=1, examples=[["2858", "260", "1"]], description="candidates; one that is given twice counts once"
    )
    limit: StrictInt | None = Field(  # type: ignore[assignment]
        None, ge=1, examples=[2], description="of the best; null: all of them"
    )
    exclude_seen: StrictBool = Field(False, description="leave out candidates that the user has seen")


class LeftOut(BaseModel):
    """A candidate that is not in the list."""

    item_id: str = Field(examples=["260"])
    cause: Cause = Field(
        examples=["unknown"],
        description="unknown to the served version; hidden; excluded by the request; seen; of another category, or not"
        " matched by a filter; ruled out by a business rule",
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
    rules_applied: list[str] = Field(
        examples=[["no-horror"]], description="business rules that had a part in this list, by name"
    )
    degraded: bool = Field(examples=[False], description="made without the live history: the database was unavailable")
    experiment: ExperimentBody | None = Field(description="null: outside any experiment")
    request_id: str = Field(examples=["b8d1c0c4a6f34a57"], description="to be sent with feedback on this list")
    unlearned: Unlearned = None


@router.post(
    "/rank",
    summary="Rank given candidates for a user",
    response_model=RankedBody,
    responses=documented(400, 401, 403, 408, 413, 422, 429, 503),
)
async def rank(
    body: RankBody, request: Request, service: ServiceDep, principal: Annotated[Principal, Depends(requires("client"))]
) -> Response:
    """The caller's candidates in the order of the user's preference, with scores; hidden items are left out."""
    principal.require_user(body.user_id)
    most = service.settings.max_batch
    if len(body.items) > most:
        raise Problem(422, "invalid-request", f"body.items: at most {most} candidates are ranked at once.")
    candidates = tuple(dict.fromkeys(body.items))
    limit = min(body.limit or most, len(candidates))
    wanted = replace(body.to_request(1.0, body.user_id, limit), list_kind="rank")
    request_id: str = request.scope["request_id"]
    found, left_out, degraded, assignment = await service.rank(wanted, candidates, request_id)
    causes = [{"item_id": item_id, "cause": cause} for item_id, cause in left_out.items()]
    more = {"left_out": causes, "experiment": assignment.body, **wanted.unlearned_by(assignment.served)}
    content = found.with_request(body.user_id, request_id, degraded, **more)
    return Response(content, media_type="application/json")
