"""Lists for people."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from serving.api.query import RECOMMENDATION_LISTS, RecommendationQuery, parameters_of, read_query
from serving.errors import Problem, documented
from serving.security.authentication import principal_of
from serving.service import Service

router = APIRouter(prefix="/api", tags=["recommendations"])
JSON = "application/json"


class RecommendedItem(BaseModel):
    """One item of a list."""

    item_id: str = Field(examples=["2858"])
    score: float = Field(examples=[0.93], description="comparable within one list only")
    title: str | None = Field(None, examples=["American Beauty (1999)"])
    reason: str | None = Field(None, examples=["You chose 'The Matrix (1999)' (62%) and 'Alien (1979)' (38%)."])


class RecommendationsBody(BaseModel):
    """A list, best first, made by exactly one version."""

    user_id: str = Field(examples=["42"])
    items: list[RecommendedItem]
    method_used: str = Field(examples=["als"], description="what spoke: a model, popularity, or declared preferences")
    model_version: str | None = Field(examples=["7"], description="null: made from the service's own data")
    diversity_score: float | None = Field(
        examples=[0.41], description="1 minus the mean likeness of the items' pairs; null for fewer than two items"
    )
    degraded: bool = Field(
        examples=[False], description="made without the live history, because the database was out of reach"
    )
    request_id: str = Field(examples=["b8d1c0c4a6f34a57"], description="to be given back with feedback on this list")


@router.get(
    "/recommendations",
    response_class=Response,
    responses={200: {"model": RecommendationsBody}, **documented(401, 403, 422, 429, 503)},
    openapi_extra={"parameters": parameters_of(RecommendationQuery)},
)
async def recommendations(request: Request) -> Response:
    """The best items for a person, with all that he did until now; popularity for people nothing is known of."""
    principal = principal_of(request)
    principal.require("client")
    query: RecommendationQuery = read_query(
        RecommendationQuery, request.scope["query_string"], lists=RECOMMENDATION_LISTS
    )
    principal.require_user(query.user_id)
    service: Service = request.app.state.service
    if query.limit > service.settings.max_limit:
        raise Problem(422, "invalid-request", f"query.limit: a list has at most {service.settings.max_limit} items.")
    request_id: str = request.scope["request_id"]
    listed, degraded = await service.recommend(query.ask(), request_id)
    told = b"true" if degraded else b"false"
    end = b',"degraded":%s,"user_id":%s,"request_id":"%s"}' % (told, orjson.dumps(query.user_id), request_id.encode())
    return Response(listed.body + end, media_type=JSON)
