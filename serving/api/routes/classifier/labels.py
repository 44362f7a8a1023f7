"""The queue of items whose predicted categories are least sure, and a person's labels for them. For admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, StrictBool

from recstage.errors import valid_names
from serving.api.dependencies import AdminRole, ServiceDep, StoreDep, not_found, run_read, run_write
from serving.api.fields import Body, Category, Id
from serving.errors import Problem, documented
from serving.service import Service
from serving.store.classification.tasks import queue
from serving.store.repositories.items import ChangeItem

router = APIRouter(prefix="/api/classifier", tags=["classifier"])
LONGEST_SHOWN = 2_000


class UncertainBody(BaseModel):
    """An item that waits for a person's label."""

    item_id: str = Field(examples=["2858"])
    title: str = Field(examples=["American Beauty (1999)"])
    text: str = Field(examples=["A sexually frustrated suburban father has a mid-life crisis."])
    predicted: dict[str, float] = Field(examples=[{"Drama": 0.41}], description="categories with their confidences")
    confidence: float = Field(examples=[0.41])
    model_version: str = Field(examples=["3"])


class LabelQueueBody(BaseModel):
    """The least sure items first."""

    items: list[UncertainBody]


class NewLabelsBody(Body):
    """The categories that a person gives an item; they replace the predicted ones for good."""

    item_id: Id = Field(examples=["2858"])
    categories: list[Category] = Field(min_length=1, max_length=100, examples=[["Drama", "Comedy"]])
    new: StrictBool = Field(False, examples=[False], description="take categories that no item has yet")


class LabelledBody(BaseModel):
    """They are stored, and the next training learns from them."""

    item_id: str = Field(examples=["2858"])
    categories: list[str] = Field(examples=[["Drama", "Comedy"]])


@router.get("/queue", summary="List items that a person should label", responses=documented(401, 403, 422, 429, 503))
async def label_queue(
    store: StoreDep,
    principal: AdminRole,
    limit: Annotated[int, Query(ge=1, le=200, description="items at most")] = 20,
) -> LabelQueueBody:
    """Items that a person should label, the least sure first."""
    found = await run_read(queue, store.reader, limit)
    return LabelQueueBody(
        items=[
            UncertainBody(
                item_id=one.prediction.item_id,
                title=one.title,
                text=one.text[:LONGEST_SHOWN],
                predicted=dict(one.prediction.categories),
                confidence=one.prediction.confidence,
                model_version=one.prediction.model_version,
            )
            for one in found
        ]
    )


@router.post(
    "/labels", summary="Label an item of the queue", responses=documented(400, 401, 403, 404, 408, 413, 422, 429, 503)
)
async def label_item(body: NewLabelsBody, store: StoreDep, service: ServiceDep, principal: AdminRole) -> LabelledBody:
    """Label an item: it leaves the queue, and `mlflow run . -e classifier -P data=service` learns from it."""
    names = list(dict.fromkeys(body.categories))
    if not body.new:
        known = await _known_categories(service)
        for name in names:
            if name not in known:
                words = f"No item has the category '{name[:80]}'. {valid_names(name, known)[:400]}; or set new: true."
                raise Problem(422, "unknown-category", words)
    if not await run_write(store, ChangeItem(body.item_id, {"categories": tuple(names)})):
        raise not_found("item", body.item_id)
    return LabelledBody(item_id=body.item_id, categories=names)


async def _known_categories(service: Service) -> set[str]:
    """Categories of the catalogue, and those that the classifier knows."""
    try:
        served = service.select_model()
    except Problem:  # no model at all: the service's own catalogue is enough
        served = None
    hidden, _ = await service.recommender.hidden()
    catalogue, _ = await service.recommender.catalogue(served, hidden)
    classifier = service.classifier.versions.served
    labels = () if classifier is None else classifier.classifier.labels
    return {name for name, _ in catalogue.counts(hidden.item_ids)} | set(labels)
