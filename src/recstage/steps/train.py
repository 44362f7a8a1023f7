"""Train one model: search on validation, refit the best on train + validation, test once, log everything.

The test rows are read in one place, after the last decision.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from recstage import cluster, model_card, registry, tracking
from recstage.config import DataConfig, root
from recstage.data import dataset
from recstage.data.catalogue import Catalogue
from recstage.data.dataset import Dataset
from recstage.data.split import Split
from recstage.errors import OutOfMemory, TooLittleData, TooMuchData
from recstage.evaluation.protocol import Evaluation, evaluate
from recstage.evaluation.trial import TrialData, Tried, evaluate_briefly
from recstage.models import build
from recstage.models.base import Recommender, Report
from recstage.models.composition import SharedFits
from recstage.progress import progress
from recstage.steps import training_report
from recstage.steps.earlier_versions import Reduction, start_of, teacher_of
from recstage.steps.parameter_search import ParameterSearch
from recstage.steps.train_settings import TrainSettings, settings_from

if TYPE_CHECKING:
    from recstage import tuning

__all__ = ["TrainResult", "TrainSettings", "Training", "run", "run_all", "settings_from"]

log = logging.getLogger(__name__)

SHOWN = (
    *("ndcg_at_10", "hit_rate_at_10", "recall_at_20", "mrr_at_10", "map_at_10"),
    *("sampled_ndcg_at_10", "sampled_hit_rate_at_10"),
    *("coverage_at_10", "gini_at_10", "novelty_at_10", "novelty_share_at_10", "diversity_at_10"),
    *("latency_p50_ms", "latency_p95_ms"),
)
"""What the result of a run repeats of its metrics."""
LIVE_AFTER_SECONDS = 60.0
"""A fit that takes longer logs its learning curve as it goes, before the figures of the test."""
LOGGED_SECONDS = ("fit", "search", "evaluation")
"""Stages whose seconds are metrics of the run; the model card has all."""


@dataclass(frozen=True)
class TrainResult:
    """What a training run came to: its headline metrics, and the parameters that the model was fitted with; `version`
    is None where it was not registered; `ranked_by` says which parts of a composite rank which users, where that is not
    the composite as a whole."""

    run_id: str
    model: str
    model_uri: str
    version: int | None
    metrics: dict[str, float]
    seconds: dict[str, float]
    params: dict[str, Any] = field(default_factory=dict)
    ranked_by: str = ""


Adapt = Callable[[TrainSettings, Sequence[TrainResult]], TrainSettings]
"""A plan by what has been trained before it."""


@contextmanager
def checkpoints(job: str, data: DataConfig) -> Iterator[Path]:
    """A folder from which the fits of an interrupted job go on, gone once the job is done. The models of one job share
    it: what was fitted alone is not fitted again as a part of a composite."""
    digest = hashlib.sha256(data.model_dump_json().encode()).hexdigest()[:16]
    folder = root() / "data" / "checkpoints" / f"{job}-{digest}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def run(
    settings: TrainSettings, *, nested: bool = False, shared: Path | None = None, own_row: bool = False
) -> TrainResult:
    """Train, test, log and, where asked, register; `shared` are the `checkpoints` of the job that this is a part of,
    `own_row` lets a nested run stand as a row of its own in the MLflow UI.

    Raises `RecstageError` on wrong input; the run is then FAILED."""
    with cluster.session(settings.backend):
        return _run(settings, nested, shared, own_row)


def _run(settings: TrainSettings, nested: bool, shared: Path | None, own_row: bool) -> TrainResult:
    clock = _Clock()
    tags = {"model": settings.model.name, "stage-of-work": settings.work}
    name = training_report.name_of(settings.model.name, settings.data.name)
    with tracking.run(name, tags=tags, nested=nested, own_row=own_row) as active:
        run_id = active.info.run_id
        with clock("data"):
            settings = settings.model_copy(update={"data": dataset.located(settings.data)})
            data = dataset.load(settings.data)
        tracking.log_dataset(run_id, data)
        tracking.log_snapshot(run_id, settings.data)
        model = build(settings.model)
        split = data.split.transposed() if model.reverse else data.split
        with checkpoints(settings.model.name, settings.data) if shared is None else nullcontext(shared) as folder:
            start, teacher = start_of(settings, model), teacher_of(settings, model, data)
            training = Training(settings, data, split, active, folder, start, teacher)
            with clock("search"):
                params = training.parameters()
            tracking.prepare_to_log()
            with clock("fit"):
                model = training.final(params)
        with clock("evaluation"):
            result = training.test(model)
        tracking.log_config(run_id, resolved(settings, model))
        with clock("logging"):
            model_uri = training.log(model, result, clock.seconds)
        tracking.rename(run_id, training.name_with(result))
        version = registry.register(model_uri, name=settings.model.registered_name) if settings.register_ else None
    number = None if version is None else int(version.number)
    shown = {name: result.metrics[name] for name in SHOWN if name in result.metrics}
    params = model.params.model_dump(mode="json")
    return TrainResult(run_id, settings.model.name, model_uri, number, shown, clock.seconds, params, model.ranking_note)


def run_all(
    job: str, plans: Sequence[TrainSettings], *, own_rows: bool = False, adapt: Adapt = lambda plan, _: plan
) -> tuple[list[TrainResult], dict[str, str]]:
    """Runs on one data set that share their checkpoints; and by model, why the data was too small or too large for it.
    They are nested below the run of the job, or, with `own_rows`, stand beside it with its id in the tag `job`. `adapt`
    may change a plan just before it is run."""
    results: list[TrainResult] = []
    skipped = {}
    with checkpoints(job, plans[0].data) as shared:
        for plan in plans:
            try:
                results.append(run(adapt(plan, results), nested=True, shared=shared, own_row=own_rows))
            except (TooLittleData, TooMuchData, OutOfMemory) as error:
                skipped[plan.model.name] = str(error)
            except KeyboardInterrupt as stopped:
                if results:
                    stopped.add_note(f"ended runs stay: {', '.join(result.model for result in results)}")
                raise
    return results, skipped


@dataclass
class Training:
    """One model on one data set within one run."""

    settings: TrainSettings
    data: Dataset
    split: Split
    active: tracking.Run
    checkpoints: Path
    start: Recommender | None = None
    teacher: Recommender | None = None
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    found: tuning.Search | None = None
    gain: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    """What a budget leaves for the fit of the tested model; 0: no limit."""
    tried: Tried | None = None
    """What the chosen parameters came to in the search, if they were fitted there."""
    held: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    """Points of the learning curve that are not logged yet: MLflow shows first what was logged first."""

    @property
    def run_id(self) -> str:
        return self.active.info.run_id

    def log_curves(self) -> None:
        """Log the points of the learning curve that were held back."""
        while self.held:
            step, metrics = self.held.pop(0)
            tracking.log_metrics(self.run_id, metrics, step)

    def name_with(self, result: Evaluation) -> str:
        """The name of the run, and what the model reached."""
        value = result.metrics.get(training_report.PRIMARY)
        return training_report.name_of(self.settings.model.name, self.data.name, value)

    def parameters(self) -> dict[str, Any]:
        """The parameters of the tested model: the YAML's, a preset, or what a search finds. Raises `ConfigError`."""
        split, catalogue = self.split, self.data.catalogue
        rows = TrialData(self.settings, split.train, split.validation, catalogue, self.teacher, SharedFits())
        search = ParameterSearch(rows, self.data, self.run_id)
        chosen = search.best()
        self.found, self.gain, self.seconds = search.found, search.gain, search.seconds
        self.tried = search.known(chosen) if self.start is None else None
        return chosen

    def final(self, params: dict[str, Any]) -> Recommender:
        """The model that is tested: where validation rows choose its length or its parts, it is then fitted again on
        train + validation with what they chose."""
        candidate = build(self.settings.model, **params)
        if candidate.watches_validation:
            params = {**params, **self._found_by_validation(candidate)}
        final = build(self.settings.model, **params)
        stage = "refit" if candidate.watches_validation else "fit"
        with self._progress(final, stage) as report:
            return final.fit(
                self.split.train_and_validation,
                seed=self.settings.seed,
                catalogue=self._catalogue(final),
                report=report,
                checkpoint=self.checkpoints,
                start=self.start,
                teacher=self.teacher,
                backend=self.settings.backend,
                seconds=self.seconds,
            )

    def _found_by_validation(self, candidate: Recommender) -> dict[str, Any]:
        """What a fit to the training rows finds by validation rows: that of the search, where these parameters were
        fitted in it, or another one."""
        if self.tried is not None:
            for step, metrics in self.tried.curve:
                self._keep("fit", step, metrics)
            return self.tried.fitted_params
        started = time.perf_counter()
        with self._progress(candidate, "fit") as report:
            candidate.fit(
                self.split.train,
                seed=self.settings.seed,
                validation=self.split.validation,
                catalogue=self._catalogue(candidate),
                report=report,
                checkpoint=self.checkpoints,
                start=self.start,
                teacher=self.teacher,
                backend=self.settings.backend,
                seconds=self.seconds / 2,
            )
        if self.seconds:
            self.seconds = max(1.0, self.seconds - (time.perf_counter() - started))
        return candidate.fitted_params_

    def test(self, model: Recommender) -> Evaluation:
        """The one look at the test rows."""
        return evaluate(
            model,
            self.split.test,
            config=self.settings.evaluation,
            catalogue=self._catalogue(model),
            negatives=self.split.negatives,
            seed=self.settings.seed,
        )

    def log(self, model: Recommender, result: Evaluation, seconds: Mapping[str, float]) -> str:
        """Evaluation, plots, bundle and model card; returns the model's URI."""
        with tqdm(total=4, desc="log the run", unit="step", delay=1, disable=None, leave=False) as bar:
            tracking.log_libraries(self.run_id)
            bar.update()
            from recstage.plots import run_figures  # loads matplotlib; meanwhile `prepare_to_log` has

            trials = None if self.found is None else training_report.trials_table(self.found)
            features = training_report.features_table(model)
            figures = run_figures.figures_of(model, result, self.curves, self.found, trials, features)
            tracking.log_figures(self.run_id, figures)
            if len(features):
                tracking.log_table(self.run_id, tracking.FEATURES, features)
            if self.found is not None and trials is not None:
                tracking.log_table(self.run_id, "trials", trials)
                if self.found.importances:
                    tracking.log_table(self.run_id, "importances", training_report.importances_table(self.found))
            bar.update()
            facts = {
                **tracking.dataset_tags(self.data),
                "n_test_users": len(result.per_user),
                "metrics": result.metrics,
                "seed": self.settings.seed,
            }
            self._describe(model, result, seconds)
            self._tell_reduction(model, result)
            bar.update()
            uri, size = tracking.log_model(self.run_id, model, facts, self.name_with(result))
            # after the model: MLflow would copy each metric that it finds, one by one
            logged = [stage for stage in LOGGED_SECONDS if stage != "search" or self.settings.trials]
            more = {"bundle_bytes": size, **self.gain, **{f"{stage}_seconds": seconds[stage] for stage in logged}}
            if model.index_recall is not None:
                more["index_recall"] = model.index_recall
            tracking.log_evaluation(self.run_id, result, uri, (self.data.name, self.data.fingerprint), more)
            self.log_curves()
            bar.update()
        return uri

    def _describe(self, model: Recommender, result: Evaluation, seconds: Mapping[str, float]) -> None:
        """Example lists, the model card, and the description that the run's page shows."""
        name = self.settings.model.registered_name
        lists = training_report.examples(model, result)
        tracking.log_table(self.run_id, "examples/lists", lists)
        about = training_report.provenance(self.active, name, self.data, model, result, self.settings.seed, lists)
        card = model_card.render(model, self.data, result, seconds, name, about)
        tracking.log_text(self.run_id, card, "model_card.md")
        tracking.log_note(self.run_id, model_card.description(model, self.data, result, seconds, about))

    def _tell_reduction(self, model: Recommender, result: Evaluation) -> None:
        """What a distilled or pruned model loses, and what it saves, on the same test users."""
        if model.larger_ is None:
            return
        larger = evaluate_briefly(model.larger_, self.split.test, self.settings, self._catalogue(model.larger_))
        found = Reduction.measured(model, model.larger_, result, larger)
        tracking.log_table(self.run_id, "reduction", found.table())
        tracking.set_tags(self.run_id, {"reduction": str(found)})
        log.info("%s: %s", model.name, found)

    # -- inside ---------------------------------------------------------------------------------------------

    def _catalogue(self, model: Recommender) -> Catalogue | None:
        return None if model.reverse else self.data.catalogue

    def _keep(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """A point of the learning curve."""
        named = {key if stage == "fit" else f"{stage}_{key}": value for key, value in metrics.items()}
        for key, value in named.items():
            self.curves.setdefault(key, []).append((step, value))
        if named:
            self.held.append((step, {tracking.in_training(key): value for key, value in named.items()}))

    @contextmanager
    def _progress(self, model: Recommender, stage: str) -> Iterator[Report]:
        """A report that shows progress, keeps the learning curve and logs it to the run."""
        with progress(f"{model.name} {stage}", model.steps_planned, model.step_name) as shown:
            reported, live_from = 0, time.monotonic() + LIVE_AFTER_SECONDS

            def report(step: int, metrics: Mapping[str, float]) -> None:
                nonlocal reported
                if not reported and step > 1 and model.step_name == "epoch":  # an interrupted fit, from its checkpoint
                    shown.resume(step - 1)
                reported = step
                self._keep(stage, step, metrics)
                if time.monotonic() >= live_from:
                    self.log_curves()
                shown.advance(metrics, step)

            try:
                yield report
            except BaseException as stopped:
                with suppress(Exception):  # what ended the fit matters more
                    self.log_curves()
                if isinstance(stopped, KeyboardInterrupt) and reported and any(self.checkpoints.glob("*.pt")):
                    stopped.add_note(f"kept the fit up to {model.step_name} {reported}; the same command resumes")
                raise


class _Clock:
    """Seconds by stage of work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - started


def resolved(settings: TrainSettings, model: Recommender) -> dict[str, Any]:
    """The whole configuration, with the parameters that the final model was fitted with."""
    config = settings.model_dump(mode="json", by_alias=True)
    config["model"]["params"] = model.params.model_dump(mode="json")
    return config
