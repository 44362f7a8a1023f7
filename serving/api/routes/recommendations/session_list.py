"""A list for a history that the request brings: visitors without an id, a basket, a page view."""

from __future__ import annotations

import hashlib
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, FailFast, Field
from starlette.responses import Response

from serving.api.dependencies import ServiceDep, run_write, store_of
from serving.api.fields import Body, Id, LookupId, PastTime, check_limit, milliseconds
from serving.api.list_body import ListBody
from serving.errors import Problem, documented
from serving.interfaces import History
from serving.recommend.response import RecommendedItem, Unlearned
from serving.security.authentication import Principal, requires
from serving.store.db.tables import InteractionType
from serving.store.repositories.events import Event, RecordEvents, now_ms

router = APIRouter(prefix="/api", tags=["recommendations"])


class SessionItem(Body):
    """An item of the session."""

    item_id: LookupId = Field(examples=["2858"])
    weight: Annotated[float, Field(strict=True)] = Field(
        1.0, ge=-1000, le=1000, description="how much it was liked; 0 or less: dismissed, it counts as seen alone"
    )
    occurred_at: PastTime | None = Field(
        None, description="when; without it the items are in their order, oldest first"
    )


class SessionHistoryBody(ListBody):
    """The history, and the parameters of the list."""

    items: Annotated[list[SessionItem], FailFast()] = Field(
        min_length=1, examples=[[{"item_id": "2858"}, {"item_id": "260", "weight": 0.5}]]
    )
    store_as: Id | None = Field(
        None,
        examples=["session-8f31"],
        description="store the items as events of this user, and the list as shown to them; null: nothing is stored",
    )
    store_type: InteractionType = Field("click", description="the type of the events that `store_as` stores")


class SessionListBody(BaseModel):
    """A list, best item first, made by exactly one model version."""

    user_id: str | None = Field(examples=[None], description="`store_as` of the request")
    items: list[RecommendedItem]
    unknown_items: list[str] = Field(examples=[["strange"]], description="items of the session that were of no use")
    method_used: str = Field(examples=["als"], description="a model, or `popularity`")
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
    request_id: str = Field(examples=["b8d1c0c4a6f34a57"], description="to be sent with feedback on this list")
    unlearned: Unlearned = None


@router.post(
    "/recommendations/session",
    summary="Recommend items for a history in the request",
    response_model=SessionListBody,
    responses=documented(400, 401, 403, 408, 413, 422, 429, 503),
)
async def recommend_to_session(
    body: SessionHistoryBody,
    request: Request,
    service: ServiceDep,
    principal: Annotated[Principal, Depends(requires("client"))],
) -> Response:
    """A list from a history in the request, without a user. Nothing is stored unless `store_as` asks for it."""
    check_limit(body.limit, service.settings.max_limit, "items", where="body.limit")
    most = service.settings.max_batch
    if len(body.items) > most:
        raise Problem(422, "too-many", f"body.items: at most {most} items a session; this one has {len(body.items)}.")
    request_id: str = request.scope["request_id"]
    served = service.select_model(body.strategy)
    if body.store_as is not None:
        principal.require_user(body.store_as)
        await run_write(await store_of(request), RecordEvents(_events(body)))
    history = _history(body, service.settings.history_limit)
    wanted = body.to_request(service.settings.diversity)
    found, degraded = await service.lists.session(served, wanted, history, body.store_as, request_id)
    unknown = [item_id for item_id in history.item_ids if served.train.items.find(item_id) < 0]
    told = wanted.unlearned_by(served)
    content = found.with_request(body.store_as, request_id, degraded, unknown_items=unknown, **told)
    return Response(content, media_type="application/json")


def _history(body: SessionHistoryBody, most: int) -> History:
    """The newest items of the session, each once with what was said of it last, oldest first."""
    now = int(time.time())
    count = len(body.items)
    moments = [
        now - count + place if one.occurred_at is None else milliseconds(one.occurred_at) // 1000
        for place, one in enumerate(body.items)
    ]
    order = sorted(range(count), key=moments.__getitem__)  # stable: equal times keep the order of the request
    last = {body.items[place].item_id: (body.items[place].weight, moments[place]) for place in order}
    newest = sorted(last.items(), key=lambda pair: pair[1][1])[-most:]
    given = tuple(one.occurred_at for one in body.items)
    return History(
        version=hash(given) if any(given) else 0,
        item_ids=tuple(item_id for item_id, _ in newest),
        weights=tuple(weight for _, (weight, _) in newest),
        timestamps=tuple(moment for _, (_, moment) in newest),
    )


def _events(body: SessionHistoryBody) -> list[Event]:
    """The items as events; a session that is sent again with more items stores those it had before only once."""
    now = now_ms()
    assert body.store_as is not None
    events = []
    for one in body.items:
        kind = body.store_type if one.weight > 0 else "dismiss"
        occurred_at = now if one.occurred_at is None else milliseconds(one.occurred_at)
        moment = "" if one.occurred_at is None else str(occurred_at)
        parts = "\x00".join((body.store_as, one.item_id, kind, moment))
        key = f"session/{hashlib.sha256(parts.encode()).hexdigest()[:32]}"
        events.append(Event(body.store_as, one.item_id, kind, occurred_at, now, idempotency_key=key))
    return events
