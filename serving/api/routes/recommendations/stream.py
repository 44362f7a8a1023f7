"""GET /api/recommendations/stream."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from serving.api.fields import check_limit
from serving.api.query import RECOMMENDATION_LISTS, RecommendationQuery, parameters_of, read_query
from serving.errors import Problem, documented
from serving.interfaces import nothing_is_shown
from serving.security.authentication import principal_of
from serving.service import Service

router = APIRouter(prefix="/api", tags=["recommendations"])
EVENT_STREAM = "text/event-stream"
EXAMPLE = 'id: 0\nevent: recommendations\ndata: {"items": [{"item_id": "2858", "score": 0.93}], "user_id": "42"}\n\n'
EVENT_SCHEMA = {
    "type": "object",
    "description": "each event",
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string"},
        "data": {"type": "string", "description": "the JSON of a list, as GET /api/recommendations answers"},
        "retry": {"type": "integer", "description": "milliseconds after which to connect again"},
    },
}
PARAMETERS = [one for one in parameters_of(RecommendationQuery) if one["name"] != "cursor"]


@router.get(
    "/recommendations/stream",
    summary="Recommend items to a user, again after each event",
    response_class=Response,
    responses={
        200: {
            "description": "Server-Sent Events: the list now, and again whenever it changes",
            "content": {EVENT_STREAM: {"schema": EVENT_SCHEMA, "example": EXAMPLE}},
        },
        **documented(401, 403, 422, 429, 503),
    },
    openapi_extra={"parameters": PARAMETERS},
)
async def stream(request: Request) -> Response:
    """The list of `GET /api/recommendations` as Server-Sent Events: at once, and again after each event of the user.

    Also after a promotion, a change of the profile and items that were hidden. A stream ends after `stream_seconds`;
    `EventSource` then connects again by itself. Comments keep it alive between lists.
    """
    principal = principal_of(request)
    principal.require("client")
    query: RecommendationQuery = read_query(
        RecommendationQuery, request.scope["query_string"], lists=RECOMMENDATION_LISTS
    )
    principal.require_user(query.user_id)
    service: Service = request.app.state.service
    check_limit(query.limit, service.settings.max_limit, "items")
    if query.cursor is not None:
        raise Problem(422, "invalid-request", "query.cursor: a stream has no pages; leave it out.")
    service.streams.check_room()
    request_id: str = request.scope["request_id"]
    wanted = query.to_request(service.settings.diversity)

    async def make_list(number: int) -> bytes:
        own_id = f"{request_id[:56]}-{number}"  # each list is an impression of its own
        found, degraded, assignment = await service.recommend(wanted, own_id)
        told = wanted.unlearned_by(assignment.served)
        return found.with_request(query.user_id, own_id, degraded, experiment=assignment.body, **told)

    async def state() -> Hashable:
        history, _ = await service.recommender.history(query.user_id)
        hidden, _ = await service.recommender.hidden()
        known = replace(history, version=0)  # the version also moves when the first list is stored as shown
        return known, hidden.version, service.select_model(query.strategy).key

    before = await state()
    first = await make_list(0)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    if nothing_is_shown.get():
        return Response(media_type=EVENT_STREAM, headers=headers)
    events = service.streams.events(first, before, state, make_list, request.is_disconnected)
    return StreamingResponse(events, media_type=EVENT_STREAM, headers=headers)
