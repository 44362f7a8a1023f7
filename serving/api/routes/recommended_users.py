"""Item -> people."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from recstage.errors import StoreError
from serving.api.dependencies import ServiceDep
from serving.api.fields import PathId
from serving.errors import Problem, documented
from serving.interfaces import Item
from serving.models.loaded_model import LoadedModel
from serving.recommend.users_for_item import Audience, Segment, Wanted, audience
from serving.security.authentication import requires
from serving.service import Service

router = APIRouter(prefix="/api", tags=["recommendations"])


class RecommendedUser(BaseModel):
    """One person."""

    user_id: str = Field(examples=["42"])
    score: float = Field(examples=[0.93], description="comparable within one list only")


class AudienceBody(BaseModel):
    """People who should be told of the item, best first, by exactly one version."""

    item_id: str = Field(examples=["2858"])
    users: list[RecommendedUser]
    method_used: str = Field(
        examples=["als"], description="the reverse model; content or activity where too few people liked the item"
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
    limit: Annotated[int, Query(ge=1, le=1000, description="people wanted; at most `max_limit` of the settings")] = 10,
    role: Annotated[
        str | None,
        Query(min_length=1, max_length=64, pattern="^[^\\x00]*$", description="only people of this declared role"),
    ] = None,
    segment: Annotated[Segment | None, Query(description="cold, warm or hot, by what people liked so far")] = None,
    exclude_known: Annotated[bool, Query(description="leave out people who know the item")] = True,
) -> AudienceBody:
    """Who should be told of an item. People who opted out or were erased are never named."""
    if limit > service.settings.max_limit:
        raise Problem(422, "invalid-request", f"query.limit: a list has at most {service.settings.max_limit} people.")
    forward, reverse = service.chosen(), service.reverse_versions.served
    among, never, item = await service.lists.in_thread(_from_database, service, role, item_id)
    wanted = Wanted(item_id, limit, among, never | service.erased, segment, exclude_known)
    found = await service.lists.in_thread(_without_the_erased, service, forward, reverse, wanted, item)
    if found is None:
        raise Problem(404, "unknown-item", f"Neither the served version nor the catalogue knows the item '{item_id}'.")
    name = service.settings.reverse_model_name if found.name == "reverse" else service.settings.model_name
    return AudienceBody(
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
    """An item's id may hold slashes: without this, a PATCH here would be one of an item of that name."""
    raise HTTPException(405, headers={"Allow": "GET"})


def _without_the_erased(
    service: Service, forward: LoadedModel, reverse: LoadedModel | None, wanted: Wanted, item: Item | None
) -> Audience | None:
    """The audience, asked again without those who were erased after the version learnt of them. While the database is
    away, those are known that were met before."""
    while True:
        found = audience(forward, reverse, wanted, item)
        if found is None:
            return None
        try:
            gone = service.dependencies.people.erased(found.user_ids)
        except StoreError:
            return found
        if not gone:
            return found
        service.erased |= gone
        wanted = replace(wanted, never=gone.union(wanted.never))


def _from_database(
    service: Service, role: str | None, item_id: str
) -> tuple[frozenset[str] | None, frozenset[str], Item | None]:
    """Who has the role (None: any), who opted out, and the item. While the database is away, who opted out is what was
    last known. Raises `StoreError` where it never was, or where a role is asked for."""
    people = service.dependencies.people
    try:
        among = None if role is None else people.with_role(role)
        service.opted_out = people.opted_out()
        return among, service.opted_out, service.dependencies.items.item(item_id)
    except StoreError:
        if role is not None or service.opted_out is None:
            raise
        return None, service.opted_out, None
