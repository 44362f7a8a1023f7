"""A registry of one's own for each test: a copy of a database that was initialised once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric
from sqlalchemy import event
from sqlalchemy.engine import Engine

from recstage import registry, tracking

MLMODEL = "flavors:\n  python_function:\n    loader_module: nothing\nutc_time_created: '2026-01-01 00:00:00'\n"


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """A test's database need not survive a power cut."""

    def relax(connection, _record):
        if "sqlite" in type(connection).__module__:
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", relax)
    yield
    event.remove(Engine, "connect", relax)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        tracking.connect()
        yield path


@dataclass
class Desk:
    """What a data scientist and a user of the MLflow UI can do to the registry."""

    client: MlflowClient
    folder: Path
    experiment_id: str
    name: str = "recommender"
    runs: list[str] = field(default_factory=list)

    def train(
        self,
        algorithm: str = "als",
        *,
        mean: float = 0.3,
        users: int = 200,
        seed: int = 0,
        data: str = "toy",
        split: str = "temporal",
        fingerprint: str = "f0",
        segments: tuple[str, ...] = ("warm", "hot"),
        metrics: Mapping[str, float] | None = None,
        status: str = "FINISHED",
        model: bool = True,
    ) -> str:
        """A finished training run: tags, metrics, per-user values around `mean`, a logged model. Returns its id."""
        values = np.clip(np.random.default_rng(7).normal(mean, 0.1, users), 0, 1)
        values = np.clip(values + np.random.default_rng(seed).normal(0, 0.02, users), 0, 1)
        per_user = pd.DataFrame(
            {
                "user_id": [f"u{i}" for i in range(users)],
                "segment": [segments[i % len(segments)] for i in range(users)],
                "n_train": 10,
                "ndcg_at_10": values,
                "hit_rate_at_10": (values > 0.3).astype(float),
            }
        )
        figures = {
            "ndcg_at_10": float(values.mean()),
            "hit_rate_at_10": float((values > 0.3).mean()),
            "coverage_at_10": 0.25,
            "latency_p95_ms": 2.0,
            "fit_seconds": 1.5,
            "bundle_bytes": 1_500_000.0,
            **(metrics or {}),
        }
        tags = {"model": algorithm, "data": data, "split": split, "fingerprint": fingerprint, "stage-of-work": "train"}
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=algorithm)
        run_id = run.info.run_id
        self.client.log_batch(run_id, metrics=[Metric(key, value, 0, 0) for key, value in figures.items()])
        path = self.folder / "per_user.parquet"
        per_user.to_parquet(path, index=False)
        self.client.log_artifact(run_id, str(path), "evaluation")
        if model:
            self._log_model(run_id)
        self.client.set_terminated(run_id, status)
        self.runs.append(run_id)
        return run_id

    def register(self, algorithm: str = "als", **about: object) -> int:
        """A run and its version. Returns the number."""
        return registry.register(self.train(algorithm, **about), self.name).number  # type: ignore[arg-type]

    def add(self, algorithm: str = "als") -> int:
        """A bare version without a run: enough where only stages matter, and fast."""
        if not self.client.search_registered_models(f"name = '{self.name}'"):
            self.client.create_registered_model(self.name)
        made = self.client.create_model_version(self.name, str(self.folder), tags={"algorithm": algorithm})
        return int(made.version)

    def stage(self, number: int, stage: str = "Production", archive: bool = True) -> None:
        with pytest.warns(FutureWarning):
            self.client.transition_model_version_stage(
                self.name, str(number), stage, archive_existing_versions=archive and stage == "Production"
            )

    def alias(self, number: int | None) -> None:
        if number is None:
            self.client.delete_registered_model_alias(self.name, "production")
        else:
            self.client.set_registered_model_alias(self.name, "production", str(number))

    def delete(self, number: int) -> None:
        self.client.delete_model_version(self.name, str(number))

    @property
    def stages(self) -> dict[int, str]:
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return {int(version.version): version.current_stage for version in found}

    @property
    def staged(self) -> list[int]:
        return sorted(number for number, stage in self.stages.items() if stage == "Production")

    @property
    def pointed(self) -> int | None:
        found = self.client.get_registered_model(self.name).aliases.get("production")
        return None if found is None else int(found)

    def tags(self, number: int) -> dict[str, str]:
        return self.client.get_model_version(self.name, str(number)).tags

    def _log_model(self, run_id: str) -> None:
        folder = self.folder / f"model-{run_id}"
        (folder / "artifacts" / "bundle").mkdir(parents=True)
        (folder / "MLmodel").write_text(MLMODEL)
        (folder / "artifacts" / "bundle" / "manifest.json").write_text("{}")
        model = self.client.create_logged_model(self.experiment_id, name="model", source_run_id=run_id)
        self.client.log_model_artifacts(model.model_id, str(folder))
        self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        self.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])


@pytest.fixture
def desk(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    before = mlflow.get_tracking_uri()
    database = tmp_path / "mlflow.db"
    shutil.copy(empty_database, database)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    client = tracking.connect()
    experiment_id = client.create_experiment("toy", artifact_location=(tmp_path / "mlruns").as_uri())
    yield Desk(client, tmp_path, experiment_id)
    mlflow.set_tracking_uri(before)
