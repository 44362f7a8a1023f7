"""The catalogue: ingest, change, hide, expire and delete items; statistics of an item."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Body as JsonBody
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    FailFast,
    Field,
    StrictBool,
    Tag,
    model_validator,
)
from starlette.responses import Response

from serving.api.dependencies import ServiceDep, StoreDep, not_found, run_read, run_write
from serving.api.fields import (
    MAX_BATCH_ENTRIES,
    AnyTime,
    Body,
    Category,
    Id,
    PathId,
    an_object,
    milliseconds,
    moment_of,
    without_nul,
)
from serving.api.routes.catalogue.attributes import (
    MAX_ATTRIBUTES,
    AttributeName,
    AttributeValue,
    check_attributes,
)
from serving.catalogue.fields import attributes_of
from serving.errors import Problem, documented
from serving.security.authentication import requires
from serving.service import Service
from serving.store.classification.predictions import Prediction
from serving.store.classification.tasks import prediction_for
from serving.store.repositories.items import ChangeItem, DeleteItem, IngestItems, ItemState, NewItem, item_state

router = APIRouter(prefix="/api/items", tags=["items"])
CATALOGUE = [Depends(requires("service"))]
READ = [Depends(requires("client"))]

Title = Annotated[str, Field(max_length=1_000), AfterValidator(without_nul)]
Text = Annotated[str, Field(max_length=50_000), AfterValidator(without_nul)]
Attributes = Annotated[
    dict[AttributeName, AttributeValue],
    Field(
        max_length=MAX_ATTRIBUTES,
        description="numbers, booleans, texts and lists of texts, for filters and rules",
        examples=[{"price": 9.99, "regions": ["DE", "AT"], "author": "Le Guin"}],
    ),
]
Categories = Annotated[list[Category], Field(max_length=100, examples=[["Drama", "Comedy"]])]


class ItemBody(Body):
    """A complete item; fields that are not given are empty."""

    item_id: Id = Field(examples=["2858"])
    title: Title = Field("", examples=["American Beauty (1999)"])
    text: Text = Field("", examples=["A sexually frustrated suburban father has a mid-life crisis."])
    categories: Categories = Field(default_factory=list)
    hidden: StrictBool = Field(False, examples=[True], description="a hidden item is in no list")
    expires_at: AnyTime | None = Field(None, description="it is not served from this time on")
    attributes: Attributes = Field(default_factory=dict)


class ItemsBody(Body):
    """Several items, stored together or not at all."""

    items: Annotated[list[ItemBody], FailFast()] = Field(min_length=1, max_length=MAX_BATCH_ENTRIES)


class IngestedBody(BaseModel):
    """The items are on disk; every worker lists or hides them accordingly."""

    created: int = Field(examples=[1])
    replaced: int = Field(examples=[0], description="items that were known, even if only by events")


class ChangeBody(Body):
    """The fields to change; the others stay."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    title: Title = Field("", examples=["American Beauty (1999)"])
    text: Text = Field("", examples=["A sexually frustrated suburban father has a mid-life crisis."])
    categories: Categories = Field(default_factory=list)
    hidden: StrictBool = Field(False, examples=[True], description="a hidden item is in no list")
    expires_at: AnyTime | None = Field(None, description="null: never")
    attributes: Attributes = Field(default_factory=dict)

    @model_validator(mode="after")
    def _something(self) -> ChangeBody:
        if not self.model_fields_set:
            raise ValueError("Give at least one of title, text, categories, hidden, expires_at, attributes")
        return self


class KnownItemBody(BaseModel):
    """An item as the catalogue knows it."""

    item_id: str = Field(examples=["2858"])
    title: str = Field(examples=["American Beauty (1999)"])
    text: str = Field(examples=["A sexually frustrated suburban father has a mid-life crisis."])
    categories: list[str] = Field(examples=[["Drama", "Comedy"]])
    predicted: dict[str, float] | None = Field(
        None,
        examples=[{"Drama": 0.83}],
        description="confidences, where the classifier gave the categories; null where a person did",
    )
    hidden: bool = Field(examples=[False])
    expires_at: datetime | None = Field(examples=["2026-12-31T23:00:00Z"], description="null: never")
    deleted: bool = Field(examples=[False])
    attributes: dict[str, Any] = Field(examples=[{"price": 9.99, "regions": ["DE", "AT"]}])


class StatisticsBody(BaseModel):
    """Statistics of an item."""

    item_id: str = Field(examples=["2858"])
    total: int = Field(examples=[15], description="events")
    counts: dict[str, int] = Field(description="events by type", examples=[{"view": 12, "click": 3}])
    users: int = Field(description="distinct users with an event", examples=[9])
    shown: int = Field(description="times it was in a list", examples=[40])
    clicked: int = Field(description="lists that led to a click on it", examples=[3])
    click_through_rate: float | None = Field(description="clicked / shown; null before it was shown", examples=[0.075])
    implementation_rate: float | None = Field(description="share of its users who implemented it", examples=[0.0])
    mean_label: float | None = Field(description="mean weight of its events", examples=[0.21])


OneOrMany = Annotated[
    Annotated[ItemBody, Tag("item")] | Annotated[ItemsBody, Tag("items")],
    Discriminator(lambda value: "items" if _several(value) else "item"),
    BeforeValidator(an_object),
    JsonBody(
        openapi_examples={
            "one": {"summary": "One item", "value": {"item_id": "2858", "title": "American Beauty (1999)"}},
            "several": {
                "summary": "Several",
                "value": {"items": [{"item_id": "2858", "categories": ["Drama"]}, {"item_id": "1", "hidden": True}]},
            },
        }
    ),
]


def _several(value: Any) -> bool:
    return (value.get("items") if isinstance(value, dict) else getattr(value, "items", None)) is not None


@router.post(
    "",
    summary="Store or replace items of the catalogue",
    status_code=201,
    dependencies=CATALOGUE,
    responses=documented(400, 401, 403, 408, 413, 422, 429, 503),
)
async def post_items(body: OneOrMany, store: StoreDep, service: ServiceDep) -> IngestedBody:
    """Store one item or several, replacing their earlier versions; a deleted item is restored.

    An item without `categories` keeps those that a person gave it; where there are none, the classifier in Production
    predicts them. `categories: []` means that it has none.
    """
    bodies = body.items if isinstance(body, ItemsBody) else [body]
    most = service.settings.max_batch
    if len(bodies) > most:
        raise Problem(422, "too-many", f"At most {most} items a request; this one has {len(bodies)}.")
    described = [(one.item_id, one.attributes) for one in bodies if one.attributes]
    if described:
        await run_read(check_attributes, described, service, store)
    open_bodies = [one for one in bodies if not one.categories and "categories" not in one.model_fields_set]
    predictions: dict[str, Prediction] = {}
    if service.settings.classify_items:
        open_texts = [(one.item_id, one.title, one.text) for one in open_bodies]
        predictions = await service.classifier.predictions(open_texts)
    created, replaced = await run_write(store, IngestItems([_new(one, predictions) for one in bodies]))
    return IngestedBody(created=created, replaced=replaced)


@router.get(
    "/{item_id:id}/stats",
    summary="Count what users did with an item",
    dependencies=READ,
    responses=documented(401, 403, 404, 422, 429, 503),
)
async def item_statistics(item_id: PathId, store: StoreDep, service: ServiceDep) -> StatisticsBody:
    """Counts by type, click-through rate, implementation rate, mean label."""
    if not _is_served(service, item_id) and await run_read(item_state, store.reader, item_id) is None:
        raise not_found("item", item_id)
    found = await run_read(store.item_statistics.of, item_id)
    return StatisticsBody(
        item_id=item_id,
        total=found.total,
        counts=found.counts,
        users=found.users,
        shown=found.shown,
        clicked=found.clicked,
        click_through_rate=found.click_through_rate,
        implementation_rate=found.implementation_rate,
        mean_label=found.mean_label,
    )


@router.get(
    "/{item_id:id}",
    summary="Read an item of the catalogue",
    dependencies=CATALOGUE,
    responses=documented(401, 403, 404, 422, 429, 503),
)
async def get_item(item_id: PathId, store: StoreDep, service: ServiceDep) -> KnownItemBody:
    """An item as lists know it: by the service's catalogue, and by that of the served version where it says nothing."""
    found = await _merged(await run_read(item_state, store.reader, item_id), item_id, service)
    prediction = await run_read(prediction_for, store.reader, item_id)
    return found if prediction is None else found.model_copy(update={"predicted": dict(prediction.categories)})


@router.patch(
    "/{item_id:id}",
    summary="Change, hide or show an item",
    dependencies=CATALOGUE,
    responses=documented(400, 401, 403, 404, 408, 413, 422, 429, 503),
)
async def change_item(item_id: PathId, body: ChangeBody, store: StoreDep, service: ServiceDep) -> KnownItemBody:
    """Change an item. Once this responds, a hidden item is in no list of any worker."""
    changes: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    if body.attributes:
        await run_read(check_attributes, [(item_id, body.attributes)], service, store)
    if changes.get("expires_at") is not None:
        changes["expires_at"] = milliseconds(changes["expires_at"])
    if not await run_write(store, ChangeItem(item_id, changes, known=_is_served(service, item_id))):
        raise not_found("item", item_id)
    return await _merged(await run_read(item_state, store.reader, item_id), item_id, service)


@router.delete(
    "/{item_id:id}",
    summary="Delete an item",
    status_code=204,
    response_class=Response,
    dependencies=CATALOGUE,
    responses=documented(401, 403, 404, 422, 429, 503),
)
async def delete_item(item_id: PathId, store: StoreDep, service: ServiceDep) -> Response:
    """Delete an item: it is never served again and its data are removed; its events stay."""
    if not await run_write(store, DeleteItem(item_id, known=_is_served(service, item_id))):
        raise not_found("item", item_id)
    return Response(status_code=204)


def _is_served(service: Service, item_id: str) -> bool:
    """Whether what serves now knows the item, posted or not."""
    served = service.model_or_none()
    return served is not None and item_id in served.train.items


def _new(body: ItemBody, predictions: Mapping[str, Prediction]) -> NewItem:
    return NewItem(
        body.item_id,
        body.title,
        body.text,
        tuple(body.categories) if "categories" in body.model_fields_set else None,
        body.hidden,
        None if body.expires_at is None else milliseconds(body.expires_at),
        body.attributes,
        predictions.get(body.item_id),
    )


async def _merged(state: ItemState | None, item_id: str, service: Service) -> KnownItemBody:
    """An item by both catalogues. Raises a 404 problem where neither has it, or it was deleted."""
    if state is not None and state.deleted:
        raise not_found("item", item_id)
    try:
        served = service.select_model()
    except Problem:  # no model at all: the service's own catalogue is enough
        served = None
    hidden, _ = await service.recommender.hidden()
    catalogue, _ = await service.recommender.catalogue(served, hidden)
    if state is None:
        if not catalogue.knows(item_id):
            raise not_found("item", item_id)
        state = ItemState(item_id, "", "", (), False, None, False)
    index = -1 if served is None else served.train.items.find(item_id)
    trained = {} if served is None or index < 0 else attributes_of(served.catalogue, index)
    return KnownItemBody(
        item_id=state.item_id,
        title=state.title or catalogue.title(item_id),
        text=state.text or catalogue.text(item_id),
        categories=list(state.categories or catalogue.categories(item_id)),
        hidden=state.hidden,
        expires_at=None if state.expires_at is None else moment_of(state.expires_at),
        deleted=state.deleted,
        attributes={**trained, **state.attributes},
    )
