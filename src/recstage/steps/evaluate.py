"""Measure a registered version again, on the data it was tested on or on another data set, and log that as a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from recstage import bundle, registry, tracking
from recstage.config import DataConfig, EvaluationConfig, Settings, check, read_yaml, resolve, root
from recstage.data import dataset
from recstage.data.dataset import Dataset
from recstage.evaluation.protocol import Evaluation, evaluate
from recstage.models.base import Recommender

SAME = "same"


class EvaluateSettings(Settings):
    """Which version is measured, and how."""

    version: str = Field("Production", description="a version's number, or Production")
    name: str = Field("recommender", description="the registered model")
    data: str = Field(SAME, description="a name of conf/data, or a path; same: what the version was tested on")
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: int = Field(42, ge=0)


@dataclass(frozen=True)
class EvaluateResult:
    """`data` and `fingerprint` say what the version was measured on."""

    run_id: str
    name: str
    version: int
    data: str
    fingerprint: str
    metrics: dict[str, float]


def settings_from(arguments: Sequence[str] = ()) -> EvaluateSettings:
    """Settings from conf/evaluation.yaml and the command line."""
    defaults = {"evaluation": read_yaml(root() / "conf" / "evaluation.yaml")}
    return resolve(EvaluateSettings, defaults, arguments, program="evaluate")


def run(settings: EvaluateSettings) -> EvaluateResult:
    """Raises `RegistryError` on an unknown version, `DataError` where the data set shares nothing with it."""
    tracking.connect()
    version = registry.version_of(settings.name, settings.version)
    name = version.tags.get("data", "") if settings.data == SAME else settings.data
    config = check(DataConfig, dataset.config_of(name), name)
    tags = {"model": version.algorithm, "stage-of-work": "evaluate", "version": str(version.number)}
    with tracking.run(f"evaluate {settings.name} {version.number}", tags=tags) as active:
        data = dataset.load(config)
        tracking.log_dataset(active.info.run_id, data)
        tracking.log_config(active.info.run_id, settings.model_dump(mode="json"))
        model = bundle.load(registry.fetch(version)).model
        result = measure(model, data, settings.evaluation, settings.seed)
        tracking.log_evaluation(active.info.run_id, result)
    return EvaluateResult(
        active.info.run_id, settings.name, int(version.number), data.name, data.fingerprint, result.metrics
    )


def measure(model: Recommender, data: Dataset, config: EvaluationConfig, seed: int) -> Evaluation:
    """Test metrics of a fitted model on a data set that need not be the one it was trained on: people and items are
    matched by id, items that the model does not know count as missed."""
    split = data.split.transposed() if model.reverse else data.split
    return evaluate(model, split.test, config=config, negatives=split.negatives, seed=seed)
