"""What is learned of a user: taste by category, and activity."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from serving.api.dependencies import (
    CurrentPrincipal,
    PatternsDep,
    ServiceDep,
    StoreDep,
    require_self_or_service,
    run_read,
)
from serving.api.fields import PathId, moment_of
from serving.api.routes.user_statistics import require_known
from serving.errors import documented

router = APIRouter(prefix="/api/users", tags=["users"])


class UserPatternsBody(BaseModel):
    """What is learned of a user from training and from events up to now; all empty where they opted out."""

    user_id: str = Field(examples=["42"])
    taste: dict[str, float] = Field(
        examples=[{"Drama": 0.6, "Comedy": 0.4}],
        description="share of each category in what this user liked, by weight, greatest first",
    )
    liked: int = Field(examples=[17], description="items that the taste is made from")
    events: int = Field(examples=[15], description="live events, at most the newest 2,000")
    by_type: dict[str, int] = Field(examples=[{"view": 12, "click": 3}], description="these events by type")
    by_hour: list[int] = Field(examples=[[0] * 18 + [9, 6] + [0] * 4], description="by hour of the day, UTC, from 0")
    by_weekday: list[int] = Field(examples=[[0, 0, 0, 0, 15, 0, 0]], description="by day of the week, Monday first")
    active_days: int = Field(examples=[2], description="days (UTC) with an event")
    last_at: datetime | None = Field(examples=["2026-11-20T18:15:00Z"], description="of the last event")
    updated_at: datetime = Field(examples=["2026-11-20T18:15:02Z"], description="when this was learned")


@router.get(
    "/{user_id:id}/patterns",
    summary="Read the taste and activity of a user",
    responses=documented(401, 403, 404, 422, 429, 503),
)
async def user_patterns(
    user_id: PathId, store: StoreDep, service: ServiceDep, patterns: PatternsDep, caller: CurrentPrincipal
) -> UserPatternsBody:
    """Taste by category and activity of a user: stored, and refreshed after each event."""
    require_self_or_service(caller, user_id)
    await run_read(require_known, store, service, user_id)
    kept = await patterns.of(user_id)
    found = kept.patterns
    return UserPatternsBody(
        user_id=user_id,
        taste=found.taste,
        liked=found.liked,
        events=found.events,
        by_type=found.by_type,
        by_hour=found.by_hour,
        by_weekday=found.by_weekday,
        active_days=found.active_days,
        last_at=None if found.last_at is None else moment_of(found.last_at),
        updated_at=moment_of(kept.updated_at),
    )
