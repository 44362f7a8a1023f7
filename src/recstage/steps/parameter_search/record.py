"""The nested runs of trials: their names, tags, parameters and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recstage import tracking
from recstage.config.steps import TrainSettings
from recstage.data.dataset import Dataset
from recstage.evaluation.trial import REPORTED_METRIC, Tried
from recstage.models import build
from recstage.steps import training_report


@dataclass(frozen=True)
class TrialRecord:
    """The nested runs of trials: their names, tags, parameters and figures."""

    settings: TrainSettings
    data: Dataset

    def name(self, what: str) -> str:
        return f"{what} · {self.settings.model.name}"

    @property
    def tags(self) -> dict[str, str]:
        return {
            "model": self.settings.model.name,
            "stage-of-work": "trial",
            **tracking.dataset_tags(self.data),
        }

    def log_params(self, run_id: str, params: Mapping[str, Any], sampled: Mapping[str, Any] | None = None) -> None:
        """Those that were sampled, or all."""
        shown = sampled or build(self.settings.model, **params).params.model_dump(mode="json")
        tracking.log_config(run_id, {"model": {"params": shown}})

    def log_step(self, run_id: str, step: int, metrics: Mapping[str, float]) -> None:
        """What was reported on the way, where the study looks at it."""
        if REPORTED_METRIC in metrics:
            tracking.log_metrics(run_id, metrics, step)

    def log_outcome(self, run_id: str, what: str, found: Tried) -> None:
        """Its figures, and its value in its name."""
        tracking.log_metrics(run_id, found.metrics)
        ended = "pruned" if found.value is None else training_report.short(found.value)
        tracking.rename(run_id, f"{self.name(what)} · {ended}")
