"""The model served: which version, since when, by which promotion; and requests to poll the registry."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from recstage.experiments.assignment import Experiment
from serving.api.dependencies import ServiceDep
from serving.api.routes.operations.health import ConditionBody, condition_bodies
from serving.errors import Problem, documented, without_paths
from serving.models.loaded_model import LoadedModel
from serving.models.version_manager import VersionManager
from serving.security.authentication import Principal, requires
from serving.service import Service

router = APIRouter(prefix="/api/model", tags=["model"])
MAX_WEBHOOK_AGE_SECONDS = 300
_SECONDS = re.compile("[0-9]{1,15}")
HEADLINES = ("ndcg_at_10", "hit_rate_at_10", "recall_at_20", "coverage_at_10", "novelty_at_10", "latency_p95_ms")
Details = Annotated[
    bool, Query(description="also strategies, the whole training as recorded, and the model that ranks users")
]
CLIENT, ADMIN = Depends(requires("client")), Depends(requires("admin"))


class Promotion(BaseModel):
    """The registry operation that made the version Production."""

    at: str | None = Field(examples=["2026-11-20T18:18:01.123Z"])
    by: str | None = Field(examples=["alex"])
    reason: str | None = Field(examples=["ndcg_at_10 +0.012 [0.008, 0.016]"])
    previous_version: str | None = Field(
        examples=["6"], description="where a rollback, or a deletion of this version, leads; null: nowhere"
    )


class Failing(BaseModel):
    """A version that is staged and cannot be served."""

    version: str = Field(examples=["8"])
    reason: str = Field(examples=["BundleError: state.npz does not match its SHA-256."])
    tries: int = Field(examples=[3])


class ReverseModelBody(BaseModel):
    """The model that ranks users for an item; without a version they are ranked by content."""

    name: str = Field(examples=["recommender-reverse"])
    version: str | None = Field(examples=["2"], description="null: none is served; users are ranked by content")
    algorithm: str | None = Field(examples=["reverse-als"])
    served_since: datetime | None = Field(description="when this process swapped it in")
    promotion: Promotion | None = Field(description="null: none is served")
    staged_version: str | None = Field(description="Production in the registry at the last poll; null: none")
    registry_looked_at: datetime | None = Field(description="when the registry was last polled")
    trained_until: int | None = Field(description="time of the newest interaction it was trained on")
    n_items: int | None = Field(examples=[3706], description="items it can rank users for")
    n_users: int | None = Field(examples=[6040], description="users it can list")
    failing: Failing | None = Field(description="a staged version that cannot be served, and why")


class ExperimentStateBody(BaseModel):
    """The experiment that this process follows: Production against the version in Staging."""

    name: str = Field(examples=["recommender-8-vs-7"])
    mode: str = Field(examples=["split"], description="`split`, `shadow`, `bandit`, `contextual` or `interleave`")
    share: float = Field(examples=[0.5], description="of the users, 0 to 1")
    production: str = Field(examples=["7"])
    challenger: str = Field(examples=["8"])


class ModelBody(BaseModel):
    """The model that serves; without a version it is made from the service's own data. What is marked (details) is
    there with `details=true` only."""

    name: str = Field(examples=["recommender"])
    version: str | None = Field(examples=["7"], description="null: models made from the service's own data")
    algorithm: str = Field(examples=["als"])
    served_since: datetime = Field(description="when this process swapped it in")
    promotion: Promotion | None = Field(description="null: fallback models serve")
    staged_version: str | None = Field(description="Production in the registry at the last poll; null: none")
    created_at: datetime | None = Field(examples=["2026-11-20T18:15:00Z"], description="when it was trained")
    data_set: str | None = Field(examples=["ml-1m"], description="what it was trained on")
    metrics: dict[str, float] = Field(
        examples=[{"ndcg_at_10": 0.164}], description="a few of its figures on test rows that it never saw"
    )
    n_users: int = Field(examples=[6040], description="users it was trained on")
    n_items: int = Field(examples=[3706], description="items it can list")
    failing: Failing | None = Field(description="a staged version that cannot be served, and why")
    experiment: ExperimentStateBody | None = Field(description="null: no version in Staging, or it is in none")
    degraded: list[str] = Field(description="what is wrong, one sentence each")
    conditions: list[ConditionBody] = Field(description="the same, with names and remedies")
    methods: list[str] | None = Field(
        None, description="(details) strategies that this version has models for", examples=[["als"]]
    )
    registry_looked_at: datetime | None = Field(None, description="(details) when the registry was last polled")
    trained_until: int | None = Field(None, description="(details) time of the newest interaction it was trained on")
    data: dict[str, Any] | None = Field(
        None, description="(details) the training, as recorded in the bundle: data, split, all metrics, run"
    )
    reverse: ReverseModelBody | None = Field(None, description="(details) the model that ranks users for an item")


class Reloading(BaseModel):
    """A poll of the registry was requested."""

    status: str = Field("looking", examples=["looking"])
    version: str | None = Field(examples=["7"], description="the version that serves now")


@router.get(
    "",
    summary="Describe the model that serves now",
    responses=documented(401, 403, 422, 429, 503),
    dependencies=[CLIENT],
    response_model_exclude_unset=True,
)
async def model(service: ServiceDep, details: Details = False) -> ModelBody:
    """The model that serves now: what it is, since when and why, what it reached, and what is wrong."""
    served, versions = service.select_model(), service.versions
    found = await service.conditions()
    poll, manifest = versions.last_poll(), None if served.source is None else served.source.manifest
    recorded = {} if manifest is None else manifest.metadata
    more: dict[str, Any] = {}
    if details:
        more = {
            "methods": sorted({*served.methods, "popularity"}),
            "registry_looked_at": None if poll is None else datetime.fromtimestamp(poll.at, UTC),
            "trained_until": None if manifest is None else manifest.trained_until,
            "data": recorded,
            "reverse": _reverse(service.reverse_versions),
        }
    return ModelBody(
        name=versions.name,
        version=served.version,
        algorithm=served.algorithm,
        served_since=served.swapped_at,
        promotion=promotion_of(served),
        staged_version=None if poll is None else poll.version,
        created_at=None if manifest is None else manifest.created_at,
        data_set=recorded.get("data"),
        metrics=_headlines(recorded),
        n_users=served.train.n_users,
        n_items=served.train.n_items,
        failing=_failing(versions),
        experiment=_experiment(service.experiments.running),
        degraded=[one.sentence for one in found],
        conditions=condition_bodies(found),
        **more,
    )


def _experiment(running: Experiment | None) -> ExperimentStateBody | None:
    if running is None:
        return None
    return ExperimentStateBody(
        name=running.name,
        mode=running.mode,
        share=running.share,
        production=running.production,
        challenger=running.challenger,
    )


def _headlines(recorded: dict[str, Any]) -> dict[str, float]:
    """The few figures that a person asks for, of those that the training recorded in the bundle."""
    measured = recorded.get("metrics")
    return {key: measured[key] for key in HEADLINES if key in measured} if isinstance(measured, dict) else {}


def _reverse(versions: VersionManager) -> ReverseModelBody:
    served, poll = versions.served, versions.last_poll()
    source = None if served is None else served.source
    return ReverseModelBody(
        name=versions.name,
        version=None if served is None else served.version,
        algorithm=None if served is None else served.algorithm,
        served_since=None if served is None else served.swapped_at,
        promotion=None if served is None else promotion_of(served),
        staged_version=None if poll is None else poll.version,
        registry_looked_at=None if poll is None else datetime.fromtimestamp(poll.at, UTC),
        trained_until=None if source is None else source.manifest.trained_until,
        # the roles are exchanged: what it calls users are the items
        n_items=None if served is None else served.train.n_users,
        n_users=None if served is None else served.train.n_items,
        failing=_failing(versions),
    )


@router.post("/reload", summary="Poll the registry now", status_code=202, responses=documented(401, 403, 429, 503))
async def reload(service: ServiceDep, _: Annotated[Principal, ADMIN]) -> Reloading:
    """Poll the registry now, and try again versions that failed, in every worker."""
    return _reload(service)


@router.post(
    "/webhook",
    summary="Take notice of a registry change (MLflow calls)",
    status_code=202,
    responses=documented(400, 401, 403, 404, 408, 413, 503),
)
async def webhook(request: Request, service: ServiceDep) -> Reloading:
    """Called by MLflow when the registry changes: poll at once. Signed with `webhook_secret`."""
    secret = service.settings.webhook_secret
    if secret is None:
        raise Problem(404, "not-found", "The webhook is off; RECSTAGE_SERVING_WEBHOOK_SECRET turns it on.")
    _check_signature(request, await request.body(), secret.get_secret_value())
    return _reload(service)


def _reload(service: Service) -> Reloading:
    for versions in (service.versions, service.reverse_versions, service.staging, service.classifier.versions):
        if versions is not None:
            versions.reload()
    served = service.versions.served
    return Reloading(version=None if served is None else served.version)


def _check_signature(request: Request, body: bytes, secret: str) -> None:
    """Raise a 401 problem unless MLflow signed this, less than five minutes ago.

    The signature is the HMAC-SHA256 of "delivery.timestamp.body".
    """
    delivery, sent = request.headers.get("x-mlflow-delivery-id", ""), request.headers.get("x-mlflow-timestamp", "")
    signed = hmac.new(secret.encode(), f"{delivery}.{sent}.".encode() + body, hashlib.sha256).digest()
    expected = f"v1,{base64.b64encode(signed).decode()}"
    given = request.headers.get("x-mlflow-signature", "")
    if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
        raise Problem(401, "unauthenticated", "The webhook's signature is wrong.")
    if not _SECONDS.fullmatch(sent) or abs(time.time() - int(sent)) > MAX_WEBHOOK_AGE_SECONDS:
        raise Problem(401, "unauthenticated", f"The webhook was sent more than {MAX_WEBHOOK_AGE_SECONDS} seconds ago.")


def promotion_of(served: LoadedModel) -> Promotion | None:
    """The registry operation that made it Production; None where fallback models serve."""
    if served.source is None:
        return None
    staged = served.source.staged
    return Promotion(at=staged.since, by=staged.promoted_by, reason=staged.reason, previous_version=staged.previous)


def _failing(versions: VersionManager) -> Failing | None:
    failure, poll = versions.failure, versions.last_poll()
    if poll is not None and poll.version is not None and poll.problem is not None and poll.about == "version":
        return Failing(version=poll.version, reason=without_paths(poll.problem), tries=poll.tries)
    if failure is not None:
        return Failing(version=failure.version, reason=without_paths(failure.reason), tries=failure.tries)
    return None
