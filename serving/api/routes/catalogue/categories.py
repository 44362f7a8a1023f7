"""The categories there are."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from serving.api.dependencies import ServiceDep
from serving.errors import Problem, documented
from serving.security.authentication import requires

router = APIRouter(prefix="/api/categories", tags=["items"])


class CategoryCount(BaseModel):
    """A category."""

    name: str = Field(examples=["Drama"])
    items: int = Field(examples=[1603], description="items of it that can be listed: hidden ones are not counted")


class CategoriesBody(BaseModel):
    """All categories, those with the most items first."""

    categories: list[CategoryCount]
    model_version: str | None = Field(examples=["7"], description="whose catalogue is part of it; null: of no version")
    degraded: bool = Field(
        examples=[False], description="hidden items and the service's catalogue are those last read: no database"
    )


@router.get(
    "",
    summary="List the categories of the catalogue",
    responses=documented(401, 403, 422, 429, 503),
    dependencies=[Depends(requires("client"))],
)
async def categories(service: ServiceDep) -> CategoriesBody:
    """The categories of the service's catalogue and of the served version, with their numbers of items."""
    try:
        served = service.select_model()
    except Problem:  # no model at all: the service's own catalogue is enough
        served = None
    hidden, hidden_unavailable = await service.recommender.hidden()
    catalogue, unavailable = await service.recommender.catalogue(served, hidden)
    return CategoriesBody(
        categories=[CategoryCount(name=name, items=number) for name, number in catalogue.counts(hidden.item_ids)],
        model_version=None if served is None else served.version,
        degraded=hidden_unavailable or unavailable,
    )
