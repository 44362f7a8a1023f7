"""What a user did, in numbers."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from serving.api.dependencies import (
    CurrentPrincipal,
    ServiceDep,
    StoreDep,
    not_found,
    require_self_or_service,
    run_read,
)
from serving.api.fields import PathId, moment_of
from serving.errors import documented
from serving.service import Service
from serving.store.repositories.statistics import UserStatistics
from serving.store.repositories.user_histories import is_known
from serving.store.store import Store

router = APIRouter(prefix="/api/users", tags=["users"])


class UserStatisticsBody(BaseModel):
    """Counts and rates of a user's events."""

    user_id: str = Field(examples=["42"])
    total: int = Field(examples=[15], description="events")
    counts: dict[str, int] = Field(examples=[{"view": 12, "click": 3}], description="events by type")
    items: int = Field(examples=[9], description="distinct items with an event")
    implementation_rate: float | None = Field(examples=[0.1], description="share of these items that were implemented")
    mean_engagement: float | None = Field(examples=[0.21], description="mean weight of the events; null without one")
    first_at: datetime | None = Field(examples=["2026-11-20T18:15:00Z"], description="of the first event")
    last_at: datetime | None = Field(examples=["2026-11-20T18:15:00Z"], description="of the last event")


@router.get("/{user_id:id}/stats", summary="Count what a user did", responses=documented(401, 403, 404, 422, 429, 503))
async def user_statistics(
    user_id: PathId, store: StoreDep, service: ServiceDep, caller: CurrentPrincipal
) -> UserStatisticsBody:
    """Counts by type, distinct items, implementation rate and mean engagement of a user."""
    require_self_or_service(caller, user_id)
    found = await run_read(_statistics, store, service, user_id)
    return UserStatisticsBody(
        user_id=user_id,
        total=found.total,
        counts=found.counts,
        items=found.items,
        implementation_rate=found.implementation_rate,
        mean_engagement=found.mean_engagement,
        first_at=None if found.first_at is None else moment_of(found.first_at),
        last_at=None if found.last_at is None else moment_of(found.last_at),
    )


def require_known(store: Store, service: Service, user_id: str) -> None:
    """Raise a 404 problem on a user of whom neither the database nor the served version knows anything. Reads."""
    if not is_known(store.reader, user_id) and not _is_served(store, service, user_id):
        raise not_found("user", user_id)


def _statistics(store: Store, service: Service, user_id: str) -> UserStatistics:
    require_known(store, service, user_id)
    return store.user_statistics.of(user_id)


def _is_served(store: Store, service: Service, user_id: str) -> bool:
    """Whether the served version was trained on the user, who was not erased since."""
    served = service.versions.served
    trained = served is not None and served.train.users.find(user_id) >= 0
    return trained and not store.histories.history(user_id).forgotten
