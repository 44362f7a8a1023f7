"""Feedback: the outcomes of a list that was shown."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, model_validator

from serving.api.dependencies import CurrentPrincipal, ServiceDep, StoreDep, run_write
from serving.api.fields import Amount, Body, Id, PastTime, RequestId, check_stars, milliseconds
from serving.errors import Problem, documented
from serving.security.authentication import requires
from serving.store.db.tables import InteractionType
from serving.store.repositories.events import now_ms
from serving.store.repositories.feedback import ItemOutcome, ListOfAnotherUser, NotShown, RecordFeedback

router = APIRouter(prefix="/api/recommendations", tags=["recommendations"], dependencies=[Depends(requires("client"))])


class OutcomeBody(Body):
    """What was done with one item of the list."""

    item_id: Id = Field(examples=["2858"])
    outcome: InteractionType = Field(examples=["click"])
    value: Amount | None = Field(None, description="seconds of a view, stars of a rating", examples=[None])
    occurred_at: PastTime | None = Field(None, description="when it happened; now, where it is missing")

    @model_validator(mode="after")
    def _stars(self) -> OutcomeBody:
        check_stars(self.outcome, self.value)
        return self


class FeedbackBody(Body):
    """Outcomes of one list; items without an entry had none."""

    request_id: RequestId = Field(description="the request_id that the list came with")
    user_id: Id | None = Field(None, description="the user; needed only where the list may be unknown")
    outcomes: list[OutcomeBody] = Field(min_length=1, max_length=1000, description="each (item, outcome) counts once")


class FeedbackReceiptBody(BaseModel):
    """The outcomes are on disk."""

    matched: bool = Field(description="whether the list is known; false where its impressions were not kept (yet)")
    model_version: str | None = Field(description="the version that made the list", examples=["7"])
    stored: int = Field(examples=[1])
    duplicates: int = Field(description="outcomes that were known already", examples=[0])
    ignored: int = Field(description="outcomes of users about whom nothing is stored", examples=[0])


@router.post(
    "/feedback",
    summary="Store what became of a shown list",
    status_code=201,
    responses=documented(400, 401, 403, 408, 413, 422, 429, 503),
)
async def post_feedback(
    body: FeedbackBody, store: StoreDep, service: ServiceDep, caller: CurrentPrincipal
) -> FeedbackReceiptBody:
    """Store the outcomes of a shown list, joined to its impressions by the request id.

    Each (item, outcome) counts once. Outcomes serve to compare versions and do not enter the user's history: post an
    interaction (with `request_id`) for that.
    """
    user_id = body.user_id
    if caller.user_id is not None:
        user_id = user_id or caller.user_id
        caller.require_user(user_id)
    now = now_ms()
    outcomes = [
        ItemOutcome(
            one.item_id, one.outcome, now if one.occurred_at is None else milliseconds(one.occurred_at), one.value
        )
        for one in body.outcomes
    ]
    try:
        receipt = await run_write(
            store, RecordFeedback(body.request_id, user_id, outcomes, queued=store.impressions.queued)
        )
    except (NotShown, ListOfAnotherUser) as error:
        raise Problem(422, "not-shown", str(error)) from error
    statuses = {"stored": receipt.stored, "duplicate": receipt.duplicates, "ignored": receipt.ignored}
    for outcome, number in statuses.items():
        if number:
            service.metrics.events.labels("feedback", outcome).inc(number)
    return FeedbackReceiptBody(
        matched=receipt.matched,
        model_version=receipt.model_version,
        stored=receipt.stored,
        duplicates=receipt.duplicates,
        ignored=receipt.ignored,
    )
