"""GET /api/recommendations."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import Response

from serving.api.cursor import Page
from serving.api.fields import check_limit
from serving.api.query import RECOMMENDATION_LISTS, RecommendationQuery, parameters_of, read_query
from serving.errors import documented
from serving.recommend.response import RecommendationsBody
from serving.security.authentication import principal_of
from serving.service import Service

PREFIX, PATH = "/api", "/recommendations"
router = APIRouter(prefix=PREFIX, tags=["recommendations"])


class JsonBytes(Response):
    """A 200 whose body is serialized JSON: without what the framework does for any media type."""

    media_type = "application/json"

    def __init__(self, body: bytes) -> None:
        self.status_code, self.body, self.background = 200, body, None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]


@router.get(
    PATH,
    summary="Recommend items to a user",
    response_class=Response,
    responses={200: {"model": RecommendationsBody}, **documented(401, 403, 422, 429, 503)},
    openapi_extra={"parameters": parameters_of(RecommendationQuery)},
)
async def recommendations(request: Request) -> Response:
    """The best items for a user, from their history up to now; popularity for an unknown user."""
    principal = principal_of(request)
    principal.require("client")
    query: RecommendationQuery = read_query(
        RecommendationQuery, request.scope["query_string"], lists=RECOMMENDATION_LISTS
    )
    principal.require_user(query.user_id)
    service: Service = request.app.state.service
    check_limit(query.limit, service.settings.max_limit, "items")
    request_id: str = request.scope["request_id"]
    wanted = query.to_request(service.settings.diversity)
    if query.cursor is None:
        found, degraded, assignment = await service.recommend(wanted, request_id)
        told = wanted.unlearned_by(assignment.served)
        return JsonBytes(found.with_request(query.user_id, request_id, degraded, experiment=assignment.body, **told))
    page = Page.of(request, query.cursor, replace(wanted, limit=0, explain=False, fields=()))
    found, degraded, assignment = await service.recommend(replace(wanted, shown=page.shown), request_id)
    more = page.next(found.item_ids, query.limit) | wanted.unlearned_by(assignment.served)
    body = found.with_request(query.user_id, request_id, degraded, experiment=assignment.body, **more)
    return JsonBytes(body)


DIRECT_ROUTES = {("GET", PREFIX + PATH): recommendations}
"""Routes that the middleware calls without the framework's routing and dependency resolution, by method and path. They
take the request only and do their own checks, and stand in `router` as well, for the documentation and every other
way in. `python -m experiments.benchmarks --only throughput` measures what it is worth."""
