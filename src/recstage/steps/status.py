"""What there is at a glance: the store, registered models and their Production, the last runs, prepared data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import Field

from recstage import registry, tracking
from recstage.config import Settings, names_in, resolve, root
from recstage.registry import mlflow_client


class StatusSettings(Settings):
    """How much is shown."""

    runs: int = Field(5, ge=0, description="of the last runs")


@dataclass(frozen=True)
class ModelStatus:
    """A registered model; `version` None: nothing is Production."""

    name: str
    versions: int
    version: int | None
    algorithm: str
    data: str
    ndcg_at_10: float | None


@dataclass(frozen=True)
class RunStatus:
    """One of the last runs."""

    run_id: str
    name: str
    status: str
    data: str
    at: datetime


@dataclass(frozen=True)
class StatusResult:
    """`data_sets` are the names of conf/data; `prepared` the folders of data/ that hold one ready to use."""

    store: str
    models: list[ModelStatus]
    runs: list[RunStatus]
    data_sets: list[str]
    prepared: list[str]


def settings_from(arguments: Sequence[str] = ()) -> StatusSettings:
    """Settings from the command line."""
    return resolve(StatusSettings, {}, arguments, program="status")


def run(settings: StatusSettings) -> StatusResult:
    """Raises `StoreError` where the store cannot be read."""
    tracking.connect()
    prepared = sorted(path.parent.name for path in (root() / "data").glob("*/*.parquet"))
    return StatusResult(
        tracking.shown_uri(),
        [_model(name) for name in mlflow_client.names()],
        [
            RunStatus(
                one.info.run_id,
                one.info.run_name or "",
                one.info.status,
                one.data.tags.get("data", ""),
                datetime.fromtimestamp(one.info.start_time / 1000, UTC),
            )
            for one in tracking.last_runs(settings.runs)
        ],
        names_in("data"),
        list(dict.fromkeys(prepared)),
    )


def _model(name: str) -> ModelStatus:
    found = registry.resolve(name).version
    count = len(registry.versions(name))
    if found is None:
        return ModelStatus(name, count, None, "", "", None)
    figures = registry.figures(found)
    return ModelStatus(
        name, count, found.number, found.algorithm, found.tags.get("data", ""), figures.get("ndcg_at_10")
    )
