"""Interactions: events of users with items, as they happen."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header
from fastapi import Body as JsonBody
from pydantic import BaseModel, BeforeValidator, Discriminator, FailFast, Field, Tag, model_validator
from starlette.responses import Response

from serving.api.dependencies import CurrentPrincipal, PatternsDep, ServiceDep, StoreDep, run_write
from serving.api.fields import (
    MAX_BATCH_ENTRIES,
    Amount,
    Body,
    Context,
    Id,
    Key,
    PastTime,
    RequestId,
    an_object,
    check_stars,
    milliseconds,
)
from serving.errors import Problem, documented
from serving.security.authentication import requires
from serving.store.db.tables import InteractionType
from serving.store.repositories.events import Event, EventStatus, KeyReused, RecordEvents, now_ms

router = APIRouter(prefix="/api/interactions", tags=["interactions"], dependencies=[Depends(requires("client"))])


class EventBody(Body):
    """One event of a user with an item; users and items that are unknown yet are created."""

    user_id: Id = Field(examples=["42"])
    item_id: Id = Field(examples=["2858"])
    interaction_type: InteractionType = Field(examples=["view"])
    value: Amount | None = Field(None, description="seconds of a view, stars of a rating (0.5 to 5)", examples=[31.5])
    occurred_at: PastTime | None = Field(None, description="when it happened; now, where it is missing")
    context: Context | None = Field(None, description="any flat object")
    request_id: RequestId | None = Field(None, description="the request_id of the list that led to it")
    idempotency_key: Key | None = Field(None, description="an event with a key that is known is not stored again")

    @model_validator(mode="after")
    def _stars(self) -> EventBody:
        check_stars(self.interaction_type, self.value)
        return self


class BatchBody(Body):
    """Several events, stored together or not at all."""

    events: Annotated[list[EventBody], FailFast()] = Field(min_length=1, max_length=MAX_BATCH_ENTRIES)


class ReceiptBody(BaseModel):
    """The events are on disk."""

    stored: int = Field(description="events that are new", examples=[1])
    duplicates: int = Field(description="events whose idempotency key was known", examples=[0])
    ignored: int = Field(
        description="events of users who opted out, or from before they were erased: nothing was kept", examples=[0]
    )


def _kind(value: Any) -> str:
    events = value.get("events") if isinstance(value, dict) else getattr(value, "events", None)
    return "event" if events is None else "batch"


OneOrMany = Annotated[
    Annotated[EventBody, Tag("event")] | Annotated[BatchBody, Tag("batch")],
    Discriminator(_kind),
    BeforeValidator(an_object),
    JsonBody(
        openapi_examples={
            "one": {
                "summary": "One event",
                "value": {"user_id": "42", "item_id": "2858", "interaction_type": "click", "request_id": "b8d1c0c4"},
            },
            "batch": {
                "summary": "A batch",
                "value": {
                    "events": [
                        {"user_id": "42", "item_id": "2858", "interaction_type": "view", "value": 31.5},
                        {"user_id": "42", "item_id": "2858", "interaction_type": "rate", "value": 4},
                    ]
                },
            },
        }
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="a key for the whole request: the same request sent again stores nothing twice",
    ),
]


@router.post(
    "",
    summary="Store events of users",
    status_code=201,
    responses={201: {"model": ReceiptBody}, **documented(400, 401, 403, 409, 408, 413, 422, 429, 503)},
    response_class=Response,
)
async def post_interactions(
    body: OneOrMany,
    store: StoreDep,
    service: ServiceDep,
    patterns: PatternsDep,
    caller: CurrentPrincipal,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store one event or a batch; the response is sent once they are on disk.

    Where no response arrives, send them again with the same idempotency key.
    """
    bodies = body.events if isinstance(body, BatchBody) else [body]
    most = service.settings.max_batch
    if len(bodies) > most:
        raise Problem(422, "too-many", f"A batch has at most {most} events; this one has {len(bodies)}.")
    if caller.user_id is not None:
        for event in bodies:
            caller.require_user(event.user_id)
    try:
        statuses = await run_write(store, RecordEvents(_events(bodies, idempotency_key)))
    except KeyReused as error:
        raise Problem(409, "idempotency-key-reused", str(error)) from error
    patterns.touched(body.user_id for body, status in zip(bodies, statuses, strict=True) if status == "stored")
    _count(service, bodies, statuses)
    counts = Counter(statuses)
    receipt = {"stored": counts["stored"], "duplicates": counts["duplicate"], "ignored": counts["ignored"]}
    return Response(orjson.dumps(receipt), 201, media_type="application/json")


def _events(bodies: list[EventBody], key: str | None) -> list[Event]:
    now = now_ms()
    return [
        Event(
            body.user_id,
            body.item_id,
            body.interaction_type,
            now if body.occurred_at is None else milliseconds(body.occurred_at),
            now,
            body.value,
            body.context,
            body.request_id,
            body.idempotency_key or (None if key is None else f"{key}/{place}"),
        )
        for place, body in enumerate(bodies)
    ]


def _count(service: ServiceDep, bodies: list[EventBody], statuses: list[EventStatus]) -> None:
    pairs = Counter((body.interaction_type, status) for body, status in zip(bodies, statuses, strict=True))
    for (kind, status), number in pairs.items():
        service.metrics.events.labels(kind, status).inc(number)
