"""The main job: prepare the data, train (and tune) several models, compare them, promote the best through the gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from recstage import tracking
from recstage.config import model_config_of, resolve
from recstage.config.steps import PipelineSettings
from recstage.data import dataset
from recstage.errors import GateRefused, TooLittleData
from recstage.steps import prepare, train, train_settings
from recstage.steps.registry import compare, promote
from recstage.steps.train import TrainResult


@dataclass(frozen=True)
class PipelineResult:
    """`production` is the version in Production afterwards; `kept_because` the gate's message where it did not change;
    `skipped` the models that the data set is too small for, with the reason."""

    run_id: str
    trained: list[TrainResult]
    skipped: dict[str, str]
    production: int | None
    kept_because: str | None
    metrics: dict[str, float] = field(default_factory=dict)


def settings_from(arguments: Sequence[str] = ()) -> PipelineSettings:
    """Settings from the command line. Raises `ConfigError` on an unknown name."""
    return resolve(PipelineSettings, {}, arguments, program="main")


def run(settings: PipelineSettings) -> PipelineResult:
    """The whole path. A model that the data is too small for is left out; any other fault ends the job."""
    plans = [
        train_settings.settings_from(
            name,
            settings.data,
            ["--strict"] if settings.strict else [],
            overrides={
                "trials": settings.trials if _tunable(name) else 0,
                "seed": settings.seed,
                "register": True,
                "name": settings.name,
            },
        )
        for name in settings.models
    ]
    with tracking.run("main", tags={"stage-of-work": "pipeline"}) as active:
        data = dataset.located(plans[0].data)  # once: all models learn from the same
        plans = [plan.model_copy(update={"data": data}) for plan in plans]
        prepare.prepare(data)
        trained, skipped = train.run_all("main", plans)
        if not trained:
            raise TooLittleData(
                settings.data,
                rule="no model can be trained on it",
                fix="Give more data; the messages above say how much",
            )
        compare.run(compare.settings_from(_named(settings)), nested=True)
        production, kept_because = None, None
        if settings.promote:
            production, kept_because = _promote_best(settings)
        best = max(trained, key=lambda result: result.metrics["ndcg_at_10"])
        tracking.log_metrics(active.info.run_id, {f"best_{key}": value for key, value in best.metrics.items()})
    return PipelineResult(active.info.run_id, trained, skipped, production, kept_because, best.metrics)


def _named(settings: PipelineSettings) -> list[str]:
    return ["--name", settings.name] if settings.name else []


def _promote_best(settings: PipelineSettings) -> tuple[int | None, str | None]:
    options = ["--reason", "best of the main job", "--new_data", str(settings.new_data).lower(), *_named(settings)]
    try:
        promoted = promote.run(promote.settings_from(options))
    except GateRefused as refusal:
        return None, str(refusal)
    return promoted.version, None


def _tunable(name: str) -> bool:
    return bool(model_config_of(name).search)
