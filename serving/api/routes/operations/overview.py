"""What the operations page shows: what is served and why, the versions, live figures, click-through, drift, alerts."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from recstage.errors import StoreError
from serving.api.dependencies import ServiceDep
from serving.api.routes.operations.health import ConditionBody, condition_bodies
from serving.api.routes.operations.model import Promotion, promotion_of
from serving.errors import documented
from serving.models.loaded_model import LoadedModel
from serving.models.overview.copy import ChangeRow, RegistryCopy, VersionRow, read_copy
from serving.models.repository import BundleRepository
from serving.operations.alerts import alerts_of
from serving.operations.click_through import ClickThrough
from serving.operations.drift import Drift
from serving.operations.live import LiveFigures, Point
from serving.operations.operations import Operations
from serving.security.authentication import Principal, requires
from serving.service import Service

router = APIRouter(prefix="/api/operations", tags=["operations"])
SHOWN_CHANGES = 20
log = logging.getLogger("serving.operations")


class ServedBody(BaseModel):
    """The version that serves."""

    version: str | None = Field(examples=["7"], description="null: models made from the service's own data")
    algorithm: str = Field(examples=["als"])
    served_since: datetime = Field(description="when this process swapped it in")
    promotion: Promotion | None = Field(description="null: fallback models serve")
    trained_at: datetime | None = Field(examples=["2026-11-20T18:15:00Z"])
    n_users: int = Field(examples=[6040])
    n_items: int = Field(examples=[3706])


class VersionBody(BaseModel):
    """A registered version, as the registry had it when it was last copied."""

    version: str = Field(examples=["8"])
    stage: str = Field(examples=["Staging"], description="Production, Staging, Archived or None")
    algorithm: str = Field(examples=["als"])
    created_at: datetime = Field(examples=["2026-11-20T18:15:00Z"])
    data: str = Field(examples=["ml-1m"])
    comparable: bool = Field(description="whether it was tested on the same rows as Production")
    figures: dict[str, float] = Field(examples=[{"ndcg_at_10": 0.164}], description="metrics of its test rows")
    gate: str = Field(examples=["refused"], description="passed, refused or forced; empty before it was judged")
    gate_at: str = Field(examples=["2026-11-20T18:18:01.123Z"])
    gate_reasons: list[str] = Field(examples=[["coverage_at_10 0.05, at least 0.09 is needed"]])
    experiment: dict[str, str] = Field(examples=[{"experiment.share": "0.1"}], description="tags of its experiment")


class ChangeBody(BaseModel):
    """One change of Production."""

    version: str | None = Field(examples=["7"], description="null: nothing was Production from then on")
    previous: str | None = Field(examples=["6"])
    at: datetime = Field(examples=["2026-11-20T18:18:01.123Z"])
    by: str = Field(examples=["alex"])
    how: str = Field(examples=["promote"], description="promote, rollback, stage, alias, deleted or unset")
    reason: str = Field(examples=["weekly retraining"])


class RegistryBody(BaseModel):
    """The registry, as the sync process last copied it."""

    copied_at: datetime = Field(examples=["2026-11-20T18:18:05Z"])
    versions: list[VersionBody] = Field(description="newest first")
    changes: list[ChangeBody] = Field(description="newest first, at most 20")


class PointBody(BaseModel):
    """One point of the chart."""

    at: datetime = Field(examples=["2026-11-20T18:18:05Z"])
    rate: float = Field(examples=[12.5], description="lists a second")
    p95: float | None = Field(examples=[4.2], description="milliseconds")


class LiveBody(BaseModel):
    """The last five minutes; where the page was just opened, since the service started."""

    seconds: float = Field(examples=[300.0], description="length of the window")
    lists: int = Field(examples=[3750])
    p50: float | None = Field(examples=[1.1], description="milliseconds; null: no list was requested")
    p95: float | None = Field(examples=[4.2])
    p99: float | None = Field(examples=[7.9])
    failed: int = Field(examples=[0], description="requests that ended in a 5xx")
    methods: dict[str, int] = Field(examples=[{"als": 3700, "popularity": 50}], description="lists by the model used")
    fallbacks: dict[str, int] = Field(examples=[{"no-history": 2}], description="lists made without something, by what")
    refused: dict[str, int] = Field(examples=[{"overloaded": 3}], description="requests refused before a route")
    cache_hits: int = Field(examples=[2900])
    cache_misses: int = Field(examples=[850])
    events: int = Field(examples=[420], description="events stored")
    points: list[PointBody] = Field(description="readings of the last half hour, oldest first")


class ClickThroughBody(BaseModel):
    """Lists of one version in the last week, and those that led to a click or to more than a click."""

    version: str | None = Field(examples=["7"], description="null: fallback models")
    lists: int = Field(examples=[12500])
    clicked: int = Field(examples=[1420])
    rate: float = Field(examples=[0.1136])
    low: float = Field(examples=[0.1082], description="95 % interval of the rate (Wilson)")
    high: float = Field(examples=[0.1193])


class DriftBody(BaseModel):
    """Whether users choose other items now than in training; docs/pages.md says how it is measured."""

    verdict: Literal["unknown", "stable", "noted", "drifted"] = Field(examples=["stable"])
    psi: float | None = Field(examples=[0.04], description="population stability index; null: too few events")
    events: int = Field(examples=[4200], description="events of the last week")
    unknown_share: float | None = Field(examples=[0.02], description="of the events: items that the version lacks")
    then: list[float] = Field(description="share of training interactions in ten groups of items, most popular first")
    now: list[float] = Field(description="share of the events in the same groups")


class AlertBody(BaseModel):
    """An alert of the live figures."""

    name: str = Field(examples=["MostlyPopularity"], description="as in conf/monitoring/alerts.yml")
    text: str = Field(examples=["61.0% of the lists are the popular items."])


class OperationsBody(BaseModel):
    """The state of the service in one response. What cannot be read now is null, and `conditions` says why."""

    role: str = Field(examples=["admin"], description="of the caller: an admin may promote and roll back")
    served: ServedBody | None = Field(description="null: neither a version nor data to make lists from")
    registry: RegistryBody | None = Field(description="null: the service follows no registry, or has not read it yet")
    conditions: list[ConditionBody] = Field(description="what is wrong now")
    alerts: list[AlertBody] = Field(description="what the live figures give rise to")
    live: LiveBody
    click_through: list[ClickThroughBody] | None = Field(description="null: without a database")
    drift: DriftBody | None = Field(description="null: without a database")


@router.get("", summary="Read the state of the service", responses=documented(401, 403, 429, 503))
async def operations(
    request: Request, service: ServiceDep, caller: Annotated[Principal, Depends(requires("service"))]
) -> OperationsBody:
    """What is served, why, and how well."""
    conditions = await service.conditions()
    body = await service.recommender.in_thread(_body, request.app.state, service)
    return OperationsBody(role=caller.role, conditions=condition_bodies(conditions), **body)


def _body(state: Any, service: Service) -> dict[str, Any]:
    shared: Operations = state.operations
    served, store = service.model_or_none(), getattr(state, "store", None)
    figures, points = shared.live.figures()
    clicked: list[ClickThrough] | None = None
    drift: Drift | None = None
    if store is not None:
        try:
            clicked = shared.click_through(store.reports)
            drift = None if served is None else shared.drift(store.reports, served)
        except StoreError as error:
            log.warning(
                "the database cannot be read", extra={"event": "degraded", "what": "reports", "error": str(error)}
            )
    return {
        "served": None if served is None else _served(served),
        "registry": _registry(service),
        "alerts": [AlertBody(name=alert.name, text=alert.text) for alert in alerts_of(figures)],
        "live": _live(figures, points),
        "click_through": None if clicked is None else [_clicked(one) for one in clicked],
        "drift": None if drift is None else _drift(drift),
    }


def _served(served: LoadedModel) -> ServedBody:
    manifest = None if served.source is None else served.source.manifest
    return ServedBody(
        version=served.version,
        algorithm=served.algorithm,
        served_since=served.swapped_at,
        promotion=promotion_of(served),
        trained_at=None if manifest is None else manifest.created_at,
        n_users=served.train.n_users,
        n_items=served.train.n_items,
    )


def _registry(service: Service) -> RegistryBody | None:
    settings = service.settings
    if not settings.follow_registry:
        return None
    copy: RegistryCopy | None = read_copy(BundleRepository(settings.bundle_root, settings.model_name))
    if copy is None:
        return None
    production = next((row for row in copy.versions if row.stage == "Production"), None)
    return RegistryBody(
        copied_at=datetime.fromtimestamp(copy.at, UTC),
        versions=[_version(row, production) for row in copy.versions],
        changes=[_change(row) for row in copy.changes[:SHOWN_CHANGES]],
    )


def _version(row: VersionRow, production: VersionRow | None) -> VersionBody:
    def rows_of(one: VersionRow) -> tuple[str, str, str]:
        return one.data, one.split, one.fingerprint

    return VersionBody(
        version=row.version,
        stage=row.stage,
        algorithm=row.algorithm,
        created_at=_moment(row.created_at),
        data=row.data,
        comparable=production is None or rows_of(row) == rows_of(production),
        figures=dict(row.figures),
        gate=row.gate,
        gate_at=row.gate_at,
        gate_reasons=[reason for reason in row.gate_reasons.split("; ") if reason],
        experiment=dict(row.experiment),
    )


def _change(row: ChangeRow) -> ChangeBody:
    return ChangeBody(
        version=row.version, previous=row.previous, at=_moment(row.at), by=row.by, how=row.how, reason=row.reason
    )


def _live(figures: LiveFigures, points: list[Point]) -> LiveBody:
    shown = [PointBody(at=datetime.fromtimestamp(one.at, UTC), rate=one.rate, p95=one.p95) for one in points]
    return LiveBody(**vars(figures), points=shown)


def _clicked(one: ClickThrough) -> ClickThroughBody:
    low, high = one.interval
    return ClickThroughBody(
        version=one.version, lists=one.lists, clicked=one.clicked, rate=one.rate, low=low, high=high
    )


def _drift(found: Drift) -> DriftBody:
    return DriftBody(
        verdict=found.verdict,
        psi=found.psi,
        events=found.events,
        unknown_share=found.unknown_share,
        then=list(found.then),
        now=list(found.now),
    )


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
