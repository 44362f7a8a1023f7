"""A trial: parameters fitted to the training rows and judged on validation rows, in whichever process.

Nothing here needs MLflow, whose import takes a worker of a cluster longer than all else.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from recstage.config.steps import TrainSettings
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions
from recstage.errors import Diverged
from recstage.evaluation.protocol import Evaluation, evaluate
from recstage.models import build
from recstage.models.base import Recommender, Report
from recstage.models.composition import SharedFits
from recstage.models.memory import peak_memory_mb

SEARCH_METRIC = "ndcg_at_10"
REPORTED_METRIC = "validation_ndcg_at_10"
IN_TRIALS = ("ndcg_at_10", "hit_rate_at_10", "recall_at_20", "coverage_at_10")
"""What a trial logs of its validation."""


@dataclass(frozen=True, eq=False)
class TrialData:
    """All that a trial needs, in whichever process it runs."""

    settings: TrainSettings
    train: Interactions
    validation: Interactions
    catalogue: Catalogue
    teacher: Recommender | None = None
    shared: SharedFits | None = None
    """Keeps what the fits have in common; None: nothing."""

    def fit(self, params: Mapping[str, Any], report: Report) -> Recommender:
        """A model fitted to the training rows alone."""
        model = build(self.settings.model, **params)
        return model.fit(
            self.train,
            seed=self.settings.seed,
            validation=self.validation if model.watches_validation else None,
            catalogue=self._catalogue(model),
            report=report,
            teacher=self.teacher,
            backend=self.settings.backend,
            shared=self.shared,
        )

    def evaluate(self, model: Recommender) -> Evaluation:
        """On validation rows."""
        return evaluate_briefly(model, self.validation, self.settings, self._catalogue(model))

    def _catalogue(self, model: Recommender) -> Catalogue | None:
        return None if model.reverse else self.catalogue


def evaluate_briefly(
    model: Recommender, rows: Interactions, settings: TrainSettings, catalogue: Catalogue | None
) -> Evaluation:
    """Without latencies, intervals and sampled candidates."""
    config = settings.evaluation.model_copy(update={"latency_requests": 0, "bootstrap": 0})
    return evaluate(model, rows, config=config, catalogue=catalogue, seed=settings.seed)


@dataclass(frozen=True)
class Tried:
    """What a trial came to: its value on validation, None where it was given up, and what its run logs; `curve` is what
    the fit reported, by step, and `fitted_params` what it found by validation rows."""

    value: float | None
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    curve: tuple[tuple[int, dict[str, float]], ...] = ()
    fitted_params: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def given_up(cls, *, diverged: bool = False) -> Tried:
        return cls(None, {"pruned": 1.0, "diverged": float(diverged)})


def tried(data: TrialData, params: Mapping[str, Any], report: Report) -> Tried:
    """Fit and judge parameters; what `report` raises passes on."""
    started = time.perf_counter()
    curve: list[tuple[int, dict[str, float]]] = []

    def kept(step: int, metrics: Mapping[str, float]) -> None:
        curve.append((step, dict(metrics)))
        report(step, metrics)

    try:
        model = data.fit(params, kept)
    except Diverged:
        return Tried.given_up(diverged=True)
    fitted = time.perf_counter()
    found = data.evaluate(model).metrics
    metrics = {f"validation_{key}": found[key] for key in IN_TRIALS if key in found}
    ended = time.perf_counter()
    metrics["fit_seconds"] = fitted - started
    return Tried(found[SEARCH_METRIC], metrics, ended - started, tuple(curve), model.fitted_params_)


def with_resources(data: TrialData, params: Mapping[str, Any], report: Report) -> Tried:
    """`tried` in a process of its own, which fits alone: with its seconds and peak memory, as a run here would log
    them. Steps that the study does not look at stay in this process."""
    alone = replace(data, shared=None, settings=data.settings.model_copy(update={"backend": "local"}))

    def looked_at(step: int, metrics: Mapping[str, float]) -> None:
        if REPORTED_METRIC in metrics:
            report(step, metrics)

    found = tried(alone, params, looked_at)
    used = {"wall_seconds": found.seconds, "peak_memory_mb": peak_memory_mb()}
    return replace(found, metrics={**found.metrics, **used})
