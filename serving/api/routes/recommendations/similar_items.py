"""Items similar to an item, or to a basket of items."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from serving.api.dependencies import ServiceDep
from serving.api.fields import LookupId, PathId, check_limit
from serving.errors import Problem, documented
from serving.lists.similar_items import SimilarItemsRequest, similar_items, unknown_items
from serving.recommend.response import RecommendedItem

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
    degraded: bool = Field(
        examples=[False], description="hidden items are those last read, because the database was unavailable"
    )


@router.get("/items/{item_id:id}/similar", responses=documented(401, 403, 404, 422, 429, 503))
async def get_similar_items(
    service: ServiceDep,
    item_id: PathId,
    limit: Annotated[int, Query(ge=1, description="items wanted; at most `max_limit` of the settings")] = 10,
    basket: Annotated[
        tuple[LookupId, ...], Query(max_length=50, description="further items of a basket; repeat for several")
    ] = (),
    exclude: Annotated[
        tuple[LookupId, ...], Query(max_length=100, description="items to leave out; repeat for several")
    ] = (),
    category: Annotated[
        tuple[LookupId, ...], Query(max_length=20, description="only items of these categories; repeat for several")
    ] = (),
) -> SimilarItemsBody:
    """Items similar to this one, or to all items of a basket. Hidden items are never listed."""
    check_limit(limit, service.settings.max_limit, "items")
    served = service.select_model()
    given = tuple(dict.fromkeys((item_id, *basket)))
    unknown = unknown_items(served, given)
    if unknown:
        raise Problem(404, "unknown-item", f"The served version does not know the item '{unknown[0][:80]}'.")
    hidden, unavailable = await service.recommender.hidden()
    request = SimilarItemsRequest(given, limit, exclude, category)
    ranked = await service.recommender.in_thread(similar_items, served, request, hidden)
    return SimilarItemsBody(
        item_ids=list(given),
        items=[
            RecommendedItem(item_id=served.item_ids[item], score=score, title=served.titles[item] or None)
            for item, score in zip(ranked.items.tolist(), ranked.scores.tolist(), strict=True)
        ],
        method_used=ranked.method,
        model_version=served.version,
        diversity_score=ranked.diversity,
        degraded=unavailable,
    )


@router.api_route("/items/{item_id:id}/similar", methods=["POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
async def only_get(item_id: str) -> None:
    """An item id may hold slashes: without this route, a PATCH here would change an item of that name."""
    raise HTTPException(405, headers={"Allow": "GET"})
