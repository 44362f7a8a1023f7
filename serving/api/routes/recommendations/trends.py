"""Popular, trending and latest items, from live events: the same for all users."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from serving.api.cursor import Cursor, Page
from serving.api.dependencies import ServiceDep
from serving.api.fields import FieldNames, LookupId, check_limit
from serving.errors import Problem, documented
from serving.recommend.response import RecommendedItem
from serving.rules.definitions import FilterText
from serving.rules.query import parse
from serving.security.authentication import Principal, requires
from serving.trends.board import Window
from serving.trends.lists import Kind, TrendRequest

router = APIRouter(prefix="/api", tags=["recommendations"])
RESPONSES = documented(401, 403, 422, 429, 503)


class TrendsBody(BaseModel):
    """A list, best item first."""

    items: list[RecommendedItem]
    method_used: Literal["popular", "trending", "latest", "popularity"] = Field(
        examples=["trending"],
        description="popular where nothing is trending, popularity (in training) where no event is in the window",
    )
    model_version: str | None = Field(examples=[None], description="null: made from live events or the catalogue")
    diversity_score: float | None = Field(
        examples=[0.41], description="1 minus the mean similarity of the items' pairs; null for fewer than two items"
    )
    rules_applied: list[str] = Field(
        examples=[["no-horror"]], description="business rules that had a part in this list, by name"
    )
    degraded: bool = Field(
        examples=[False], description="events or hidden items are those last read: the database was unavailable"
    )
    user_id: str | None = Field(examples=["42"], description="null where the request names no user")
    request_id: str = Field(examples=["b8d1c0c4a6f34a57"], description="to be sent with feedback on this list")
    next: str | None = Field(
        None, examples=["MbJ2c0d3"], description="the `cursor` of the next page, where the request has a `cursor`"
    )


class LatestQuery(BaseModel):
    """Parameters of a list that is the same for all users."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(10, ge=1, description="items wanted; at most `max_limit` of the settings")
    window: Window | None = Field(
        None, description="only items first known within it: since training began, or in the service's catalogue"
    )
    category: tuple[LookupId, ...] = Field(
        (), max_length=20, description="only items of these categories; repeat for several", examples=[["Drama"]]
    )
    filter: tuple[FilterText, ...] = Field(
        (), max_length=10, description="only items that match all of them, such as `price<=20 and tags=a|b`"
    )
    exclude: tuple[LookupId, ...] = Field((), max_length=100, description="items to leave out; repeat for several")
    explain: bool = Field(False, description="a reason for each item")
    fields: FieldNames = ()
    cursor: Cursor = None
    user_id: LookupId | None = Field(
        None, description="to whom the list is shown: it is stored as shown to them, for feedback; none: it is not"
    )


class TrendQuery(LatestQuery):
    """Parameters of a list from the events of a window."""

    window: Window = Field("week", description="the last hour, day, week or month; older events count less")


Client = Annotated[Principal, Depends(requires("client"))]


@router.get("/popular", summary="List the most chosen items", response_model=TrendsBody, responses=RESPONSES)
async def popular(
    request: Request, service: ServiceDep, principal: Client, query: Annotated[TrendQuery, Query()]
) -> Response:
    """The items that most users chose within the window, each user once; recent choices count more."""
    return await _list("popular", request, service, principal, query)


@router.get("/trending", summary="List the items that gain most", response_model=TrendsBody, responses=RESPONSES)
async def trending(
    request: Request, service: ServiceDep, principal: Client, query: Annotated[TrendQuery, Query()]
) -> Response:
    """The items that gained most over the window before, in standard deviations; popular ones where none gained."""
    return await _list("trending", request, service, principal, query)


@router.get("/latest", summary="List the newest items", response_model=TrendsBody, responses=RESPONSES)
async def latest(
    request: Request, service: ServiceDep, principal: Client, query: Annotated[LatestQuery, Query()]
) -> Response:
    """The items that were first known last: by their first interaction in training, or when they were posted."""
    return await _list("latest", request, service, principal, query)


async def _list(
    kind: Kind, request: Request, service: ServiceDep, principal: Principal, query: LatestQuery
) -> Response:
    check_limit(query.limit, service.settings.max_limit, "items")
    if query.user_id is not None:
        principal.require_user(query.user_id)
    try:
        served = service.select_model()
    except Problem:  # no model at all: events and the catalogue are enough
        served = None
    page = Page.of(request, query.cursor, (kind, query.window, query.exclude, query.category, query.filter))
    choice = (query.exclude, query.category, query.explain, query.fields)
    wanted = TrendRequest(kind, query.window, query.limit, *choice, page.shown, tuple(map(parse, query.filter)))
    request_id: str = request.scope["request_id"]
    found, degraded = await service.trends.make(served, wanted, query.user_id, request_id)
    content = found.with_request(query.user_id, request_id, degraded, **page.next(found.item_ids, query.limit))
    return Response(content, media_type="application/json")
