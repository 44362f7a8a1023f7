"""The main job: prepare the data, train (and tune) several models, compare them, promote the best through the gate.

Which models, the kind of data says. A budget is shared among the single models, the strongest of such data first; what
one leaves goes to the next ones. Composites are not searched, and have their members with the parameters that were
found for these.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from recstage import cluster, models, registry, tracking
from recstage.config import model_config_of, resolve
from recstage.config.steps import DEFAULT_NAME, MODELS, PipelineSettings, TrainSettings
from recstage.data import dataset
from recstage.data.kind import kind_of
from recstage.errors import GateRefused, TooLittleData
from recstage.models.composition import is_composite, with_members
from recstage.registry import Version
from recstage.steps import notification, prepare, train, train_settings
from recstage.steps.registry import compare, promote
from recstage.steps.train import TrainResult

log = logging.getLogger(__name__)
KEPT = 0.05
"""Of the whole budget, for each model that is still to come: its presets, and what is no search of those before it."""
LEAST_SECONDS = 1.0
"""Of a budget that is used up: presets are tried while they fit in, and nothing is searched."""


@dataclass(frozen=True)
class PipelineResult:
    """`skipped` are the models that the data set is too small or too large for, with the reason; `kept_because` is the
    gate's message where it refused the best; `production` the version in Production afterwards, whether this job
    promoted it or not; `best_trained` the best version of this job, and `best_trained_metrics` its test metrics."""

    run_id: str
    trained: list[TrainResult]
    skipped: dict[str, str]
    kept_because: str | None
    production: int | None
    outcome: str
    best_trained: str
    best_trained_metrics: dict[str, float] = field(default_factory=dict)


def settings_from(arguments: Sequence[str] = ()) -> PipelineSettings:
    """Settings from the command line. Raises `ConfigError` on an unknown name."""
    return resolve(PipelineSettings, {}, arguments, program="main")


def run(settings: PipelineSettings) -> PipelineResult:
    """The whole path. A model that the data is too small or too large for is left out; any other fault ends the job,
    and is told as `notify` of conf/retraining.yaml says."""
    told = notification.told_on_failure(notification.configured(), "main job failed", settings.name or DEFAULT_NAME)
    with told, cluster.session(settings.backend):  # one session for all models
        return _run(settings)


def _run(settings: PipelineSettings) -> PipelineResult:
    plans = _plans(settings, settings.models or MODELS["dense"])  # an unknown name is told before anything is read
    with tracking.run(f"main · {plans[0].data.name}", tags={"stage-of-work": "pipeline"}) as active:
        data = dataset.located(plans[0].data)  # once: all models learn from the same
        prepare.prepare(data)
        if not settings.models:
            kind = kind_of(dataset.load(data).split.train)
            plans = _plans(settings, MODELS[kind])
            log.info("main: %s data, so that %s are trained", kind, ", ".join(MODELS[kind]))
        plans = [plan.model_copy(update={"data": data}) for plan in plans]
        trained, skipped = train.run_all("main", plans, own_rows=True, adapt=_Adapting.of(settings.budget, plans))
        if not trained:
            raise TooLittleData(
                settings.data,
                rule="no model can be trained on it",
                fix="Give more data; the messages above say how much",
            )
        compare.run(compare.settings_from(_named(settings)), nested=True)
        promoted, kept_because = None, None
        if settings.promote:
            promoted, kept_because = _promote_best(settings, trained)
        # a model from items to users answers another question: its figures are not compared with the others'
        forward = [result for result in trained if not _reverse(result.model)] or trained
        best = max(forward, key=lambda result: result.metrics["ndcg_at_10"])
        tracking.log_metrics(active.info.run_id, {f"best_{key}": value for key, value in best.metrics.items()})
    production = registry.resolve(settings.name or DEFAULT_NAME).version
    return PipelineResult(
        run_id=active.info.run_id,
        trained=trained,
        skipped=skipped,
        kept_because=kept_because,
        production=None if production is None else production.number,
        outcome=_outcome(production, promoted),
        best_trained=_version_of(best, settings),
        best_trained_metrics=best.metrics,
    )


def _outcome(production: Version | None, promoted: int | None) -> str:
    """What is Production now, in words."""
    if production is None:
        return "nothing is Production"
    return f"{production} is Production{'' if promoted == production.number else ', as before'}"


def _version_of(result: TrainResult, settings: PipelineSettings) -> str:
    """What a training run registered, in words."""
    model = model_config_of(result.model)
    name = train_settings.registered_name(model, settings.name) if settings.name else model.registered_name
    return f"version {result.version} of {name} ({result.model})"


def _plans(settings: PipelineSettings, names: Sequence[str]) -> list[TrainSettings]:
    """The training runs of the job."""
    return [
        train_settings.settings_from(
            name,
            settings.data,
            [*(["--strict"] if settings.strict else []), *(["--memory", settings.memory] if settings.memory else [])],
            overrides={
                "trials": settings.trials if _tunable(name) else 0,
                "seed": settings.seed,
                "register": True,
                "name": settings.name,
                "backend": settings.backend,
            },
        )
        for name in names
    ]


@dataclass
class _Adapting:
    """Each plan by what was trained before it: its share of the time left, and what was found for its members.

    Of `waiting` models that a search is still to come for, the next one has twice the mean share of those after it, but
    for what is kept for these.
    """

    budget: float
    waiting: int
    began: float = field(default_factory=time.perf_counter)

    @classmethod
    def of(cls, budget: float, plans: Sequence[TrainSettings]) -> _Adapting:
        """For the plans of a job."""
        return cls(budget, sum(_searched(plan) for plan in plans))

    def __call__(self, plan: TrainSettings, done: Sequence[TrainResult]) -> TrainSettings:
        model = plan.model
        if is_composite(model):
            params = with_members(model, {result.model: result.params for result in done})
            return plan.model_copy(update={"model": model.model_copy(update={"params": params})})
        if not self.budget or not _searched(plan):
            return plan
        left = self.budget - (time.perf_counter() - self.began)
        kept = KEPT * self.budget * (self.waiting - 1)
        share = (left - kept) * 2 / (self.waiting + 1)
        self.waiting -= 1
        return plan.model_copy(update={"budget": max(share, LEAST_SECONDS)})


def _searched(plan: TrainSettings) -> bool:
    """Whether a budget of the job searches for parameters of this model."""
    return bool(plan.model.search) and not is_composite(plan.model)


def _reverse(name: str) -> bool:
    return models.class_of(model_config_of(name).target).reverse


def _named(settings: PipelineSettings) -> list[str]:
    return ["--name", settings.name] if settings.name else []


def _promote_best(settings: PipelineSettings, trained: Sequence[TrainResult]) -> tuple[int | None, str | None]:
    """The best version, and, while nothing is Production, the next best where the gate refuses that. With a Production
    only the best is asked: trying until chance lets one pass would be no gate."""
    options = ["--new_data", str(settings.new_data).lower(), *_named(settings)]
    try:
        return promote.run(promote.settings_from(["--reason", "best of the main job", *options])).version, None
    except GateRefused as refusal:
        kept_because = str(refusal)
    log.info("%s", kept_because)
    name = settings.name or DEFAULT_NAME
    if registry.resolve(name).version is not None:
        return None, kept_because
    next_best = sorted(trained, key=lambda one: -one.metrics["ndcg_at_10"])
    for number in [one.version for one in next_best if one.version is not None]:
        if registry.version_of(name, number).tags.get("gate_verdict") == "refused":
            continue
        try:
            log.info("main: nothing is Production, so the next best is asked: version %d", number)
            words = ["--version", str(number), "--reason", "best of the main job that passes the gate", *options]
            return promote.run(promote.settings_from(words)).version, None
        except GateRefused as refusal:
            log.info("%s", refusal)
    return None, kept_because


def _tunable(name: str) -> bool:
    return bool(model_config_of(name).search)
