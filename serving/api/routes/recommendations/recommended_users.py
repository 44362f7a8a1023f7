"""Users to whom an item should be recommended."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from serving.api.dependencies import ServiceDep
from serving.api.fields import PathId, check_limit
from serving.audiences.ranking import Segment, UsersRequest
from serving.errors import Problem, documented
from serving.security.authentication import requires

router = APIRouter(prefix="/api", tags=["recommendations"])


class RecommendedUser(BaseModel):
    """One user."""

    user_id: str = Field(examples=["42"])
    score: float = Field(examples=[0.93], description="comparable within one list only")


class RecommendedUsersBody(BaseModel):
    """Users to whom the item should be recommended, best first, by exactly one model version."""

    item_id: str = Field(examples=["2858"])
    users: list[RecommendedUser]
    method_used: str = Field(
        examples=["als"], description="the reverse model; content or activity where too few users liked the item"
    )
    model_name: str = Field(examples=["recommender-reverse"])
    model_version: str | None = Field(examples=["2"])


@router.get(
    "/items/{item_id:id}/recommended-users",
    summary="Find users to recommend an item to",
    responses=documented(401, 403, 404, 422, 429, 503),
    dependencies=[Depends(requires("service"))],
)
async def recommended_users(
    service: ServiceDep,
    item_id: PathId,
    limit: Annotated[int, Query(ge=1, description="users wanted; at most `max_limit` of the settings")] = 10,
    role: Annotated[
        str | None,
        Query(min_length=1, max_length=64, pattern="^[^\\x00]*$", description="only users of this declared role"),
    ] = None,
    segment: Annotated[Segment | None, Query(description="cold, warm or hot, by training interactions")] = None,
    exclude_known: Annotated[bool, Query(description="leave out users who have seen the item")] = True,
    min_likes: Annotated[
        int | None,
        Query(ge=0, le=1_000_000, description="an item that fewer users liked is ranked by its content"),
    ] = None,
    min_score: Annotated[
        float | None, Query(ge=-1e9, le=1e9, description="leave out users that score less; see `score`")
    ] = None,
) -> RecommendedUsersBody:
    """Users to whom an item should be recommended. Users who opted out or were erased are never listed.

    Cached for `audience_cache_seconds` at most, until a version is swapped in or any user opts out or is erased.
    """
    check_limit(limit, service.settings.max_limit, "users")
    forward, reverse = service.select_model(), service.reverse_versions.served
    least = service.settings.audience_min_likes if min_likes is None else min_likes
    request = UsersRequest(item_id, limit, least, min_score, segment=segment, exclude_known=exclude_known)
    found = await service.recommender.in_thread(service.audiences.find, forward, reverse, request, role)
    if found is None:
        raise Problem(404, "unknown-item", f"Neither the served version nor the catalogue knows the item '{item_id}'.")
    name = service.settings.reverse_model_name if found.name == "reverse" else service.settings.model_name
    return RecommendedUsersBody(
        item_id=item_id,
        users=[
            RecommendedUser(user_id=user, score=score) for user, score in zip(found.user_ids, found.scores, strict=True)
        ],
        method_used=found.method,
        model_name=name,
        model_version=found.version,
    )


@router.api_route(
    "/items/{item_id:id}/recommended-users", methods=["POST", "PUT", "PATCH", "DELETE"], include_in_schema=False
)
async def only_get(item_id: str) -> None:
    """An item id may hold slashes: without this route, a PATCH here would change an item of that name."""
    raise HTTPException(405, headers={"Allow": "GET"})
