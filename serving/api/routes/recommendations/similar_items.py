"""Items similar to an item, or to a basket of items."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from serving.api.cursor import Cursor, Page
from serving.api.dependencies import ServiceDep
from serving.api.fields import FieldNames, LookupId, PathId, check_limit
from serving.errors import Problem, documented
from serving.lists.similar_items import unknown_items
from serving.recommend.request import AUTO, RecommendationRequest
from serving.recommend.response import RecommendedItem
from serving.rules.definitions import FilterText
from serving.rules.query import parse
from serving.security.authentication import Principal, requires

router = APIRouter(prefix="/api", tags=["recommendations"])


class SimilarItemsBody(BaseModel):
    """Items similar to the given ones, most similar first, by exactly one model version."""

    item_ids: list[str] = Field(examples=[["2858"]], description="the item, and the rest of the basket")
    items: list[RecommendedItem] = Field(description="`score` is the mean cosine with the given items")
    method_used: str = Field(
        examples=["item vectors"], description="what similarity is made of: item vectors, categories, or co-occurrence"
    )
    model_version: str | None = Field(examples=["7"], description="null: made from the service's own data")
    diversity_score: float | None = Field(
        examples=[0.41], description="1 minus the mean similarity of the items' pairs; null for fewer than two items"
    )
    rules_applied: list[str] = Field(
        examples=[["no-horror"]], description="business rules that had a part in this list, by name"
    )
    degraded: bool = Field(
        examples=[False], description="hidden items are those last read, because the database was unavailable"
    )
    user_id: str | None = Field(examples=["42"], description="null where the request names no user")
    request_id: str = Field(examples=["b8d1c0c4a6f34a57"], description="to be sent with feedback on this list")
    next: str | None = Field(
        None, examples=["MbJ2c0d3"], description="the `cursor` of the next page, where the request has a `cursor`"
    )


class SimilarItemsQuery(BaseModel):
    """Parameters of a list of similar items."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(10, ge=1, description="items wanted; at most `max_limit` of the settings")
    basket: tuple[LookupId, ...] = Field((), max_length=50, description="further items of a basket; repeat for several")
    lambda_: float = Field(
        1.0,
        alias="lambda",
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="maximal marginal relevance: 1 the order of similarity, 0 the most varied list",
    )
    exclude: tuple[LookupId, ...] = Field((), max_length=100, description="items to leave out; repeat for several")
    category: tuple[LookupId, ...] = Field(
        (), max_length=20, description="only items of these categories; repeat for several"
    )
    filter: tuple[FilterText, ...] = Field(
        (), max_length=10, description="only items that match, such as `price<=20`; repeat for several"
    )
    explain: bool = Field(False, description="a reason for each item")
    fields: FieldNames = ()
    cursor: Cursor = None
    user_id: LookupId | None = Field(
        None, description="to whom the list is shown: it is stored as shown to them, for feedback; none: it is not"
    )


@router.get(
    "/items/{item_id:id}/similar",
    summary="Find items similar to an item or basket",
    response_model=SimilarItemsBody,
    responses=documented(401, 403, 404, 422, 429, 503),
)
async def get_similar_items(
    request: Request,
    service: ServiceDep,
    item_id: PathId,
    principal: Annotated[Principal, Depends(requires("client"))],
    query: Annotated[SimilarItemsQuery, Query()],
) -> Response:
    """Items similar to this one, or to all items of a basket. Hidden items are never listed."""
    check_limit(query.limit, service.settings.max_limit, "items")
    if query.user_id is not None:
        principal.require_user(query.user_id)
    served = service.select_model()
    given = tuple(dict.fromkeys((item_id, *query.basket)))
    unknown = unknown_items(served, given)
    if unknown:
        raise Problem(404, "unknown-item", f"The served version does not know the item '{unknown[0][:80]}'.")
    filters = tuple(map(parse, query.filter))
    page = Page.of(request, query.cursor, (given, query.lambda_, query.exclude, query.category, query.filter))
    wanted = RecommendationRequest(
        query.user_id or "",
        query.limit,
        AUTO,
        query.lambda_,
        query.exclude,
        query.category,
        explain=query.explain,
        filters=filters,
        fields=query.fields,
        shown=page.shown,
        list_kind="similar",
    )
    request_id: str = request.scope["request_id"]
    found, degraded = await service.lists.similar(served, wanted, given, request_id)
    more = {"item_ids": given, **page.next(found.item_ids, query.limit)}
    return Response(found.with_request(query.user_id, request_id, degraded, **more), media_type="application/json")


@router.api_route("/items/{item_id:id}/similar", methods=["POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
async def only_get(item_id: str) -> None:
    """An item id may hold slashes: without this route, a PATCH here would change an item of that name."""
    raise HTTPException(405, headers={"Allow": "GET"})
