"""Changes that users of MLflow make to a registry, by code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric

from recstage import bundle, registry, tracking
from recstage.config import DataConfig, EvaluationConfig
from recstage.data.dataset import Dataset
from recstage.data.interactions import Interactions
from recstage.evaluation.protocol import evaluate
from recstage.models.base import Recommender
from recstage.models.baselines.popularity import Popularity

MLMODEL = "flavors:\n  python_function:\n    loader_module: nothing\nutc_time_created: '2026-01-01 00:00:00'\n"


@cache
def anything() -> Recommender:
    """A fitted model, where it does not matter which."""
    rows = pd.DataFrame({"user_id": ["u0", "u0", "u1"], "item_id": ["i0", "i1", "i0"], "timestamp": [1, 2, 3]})
    return Popularity().fit(Interactions.from_frame(rows))


@dataclass
class RegistryDriver:
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

    def train_really(self, model: Recommender, config: DataConfig, data: Dataset) -> int:
        """A model fitted on `data`, tested, bundled and registered as the training step would. Returns the number."""
        evaluation = EvaluationConfig(bootstrap=100, latency_requests=0)
        model.fit(data.split.train_and_validation, catalogue=data.catalogue)
        result = evaluate(model, data.split.test, config=evaluation, progress=False)
        tags = {"model": model.name, "stage-of-work": "train", **tracking.dataset_tags(data)}
        run_id = self.client.create_run(self.experiment_id, tags=tags, run_name=model.name).info.run_id
        tracking.log_evaluation(run_id, result)
        values = {"data": config.model_dump(mode="json"), "evaluation": evaluation.model_dump(mode="json"), "seed": 1}
        self.client.log_text(run_id, yaml.safe_dump(values), "config.yaml")
        self._log_model(run_id, model)
        self.client.set_terminated(run_id)
        return registry.register(run_id, self.name).number

    def _log_model(self, run_id: str, fitted: Recommender | None = None) -> None:
        folder = self.folder / f"model-{run_id}"
        (folder / "artifacts" / "bundle").mkdir(parents=True)
        (folder / "MLmodel").write_text(MLMODEL)
        bundle.save(fitted or anything(), folder / "artifacts" / "bundle")
        model = self.client.create_logged_model(self.experiment_id, name="model", source_run_id=run_id)
        self.client.log_model_artifacts(model.model_id, str(folder))
        self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        self.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])


@pytest.fixture
def registry_driver(workspace: Path) -> RegistryDriver:
    """A registry_driver in a repository of its own."""
    client = tracking.connect()
    artifacts = (workspace / "mlruns" / "toy").as_uri()
    return RegistryDriver(client, workspace, client.create_experiment("toy", artifact_location=artifacts))
