"""What is served, since when, and by which promotion."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from serving.auth import requires
from serving.problems import documented
from serving.service import Serving

router = APIRouter(prefix="/api/model", tags=["model"], dependencies=[Depends(requires("client"))])


class Promotion(BaseModel):
    """The registry operation that made the version Production."""

    at: str | None = Field(examples=["2026-11-20T18:18:01.123Z"])
    by: str | None = Field(examples=["alex"])
    reason: str | None = Field(examples=["ndcg_at_10 +0.012 [0.008, 0.016]"])
    previous_version: str | None = Field(examples=["6"])


class Problematic(BaseModel):
    """A version that is staged and cannot be served."""

    version: str
    reason: str
    tries: int


class ModelBody(BaseModel):
    """The version that answers."""

    name: str = Field(examples=["recommender"])
    version: str = Field(examples=["7"])
    algorithm: str = Field(examples=["als"])
    served_since: datetime = Field(description="when this process swapped it in")
    promotion: Promotion
    staged_version: str | None = Field(description="Production in the registry at the last look; null: nothing")
    registry_looked_at: datetime | None = Field(description="when the registry was last looked at")
    trained_until: int = Field(description="time of the newest interaction it was trained on")
    created_at: datetime
    data: dict = Field(description="what the bundle says of its training: data, split, fingerprint, metrics, run")
    n_users: int
    n_items: int
    failing: Problematic | None = Field(description="a staged version that cannot be served, and why")
    degraded: list[str] = Field(description="what the service has to do without, in words")


@router.get("", responses=documented(401, 403, 429, 503))
async def model(service: Serving) -> ModelBody:
    """The version that answers now."""
    served = service.serving()
    staged, manifest, look, failure = served.staged, served.manifest, service.engine.look(), service.engine.failure
    return ModelBody(
        name=staged.name,
        version=served.version,
        algorithm=served.algorithm,
        served_since=served.swapped_at,
        promotion=Promotion(
            at=staged.since, by=staged.promoted_by, reason=staged.reason, previous_version=staged.previous
        ),
        staged_version=None if look is None else look.version,
        registry_looked_at=None if look is None else datetime.fromtimestamp(look.at, UTC),
        trained_until=manifest.trained_until,
        created_at=manifest.created_at,
        data=manifest.metadata,
        n_users=manifest.n_users,
        n_items=manifest.n_items,
        failing=None
        if failure is None
        else Problematic(version=failure.version, reason=failure.reason, tries=failure.tries),
        degraded=service.degraded(),
    )
