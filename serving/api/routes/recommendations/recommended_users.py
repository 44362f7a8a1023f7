"""Users to whom an item should be recommended."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from recstage.errors import StoreError
from serving.api.dependencies import ServiceDep
from serving.api.fields import PathId, check_limit
from serving.errors import Problem, documented
from serving.interfaces import Item
from serving.models.loaded_model import LoadedModel
from serving.recommend.users_for_item import RankedUsers, Segment, UsersRequest, users_for_item
from serving.security.authentication import requires
from serving.service import Service

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
) -> RecommendedUsersBody:
    """Users to whom an item should be recommended. Users who opted out or were erased are never listed."""
    check_limit(limit, service.settings.max_limit, "users")
    forward, reverse = service.select_model(), service.reverse_versions.served
    among, opted_out, item = await service.recommender.in_thread(_from_database, service, role, item_id)
    request = UsersRequest(item_id, limit, among, opted_out | service.erased, segment, exclude_known)
    found = await service.recommender.in_thread(_without_erased, service, forward, reverse, request, item)
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


def _without_erased(
    service: Service, forward: LoadedModel, reverse: LoadedModel | None, request: UsersRequest, item: Item | None
) -> RankedUsers | None:
    """The users for an item, without those erased after the version was trained on them.

    While the database is unavailable, erased users are those found earlier.
    """
    while True:
        found = users_for_item(forward, reverse, request, item, service.evaluation)
        if found is None:
            return None
        try:
            erased = service.dependencies.users.erased(found.user_ids)
        except StoreError:
            return found
        if not erased:
            return found
        service.erased |= erased
        request = replace(request, excluded=erased.union(request.excluded))


def _from_database(
    service: Service, role: str | None, item_id: str
) -> tuple[frozenset[str] | None, frozenset[str], Item | None]:
    """Users with the role (None: any), users who opted out, and the item.

    While the database is unavailable, users who opted out are those last read. Raises `StoreError` where they never
    were, or where a role is requested.
    """
    source = service.dependencies.users
    try:
        among = None if role is None else source.with_role(role)
        service.opted_out = source.opted_out()
        return among, service.opted_out, service.dependencies.items.item(item_id)
    except StoreError:
        if role is not None or service.opted_out is None:
            raise
        return None, service.opted_out, None
