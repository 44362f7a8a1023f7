"""Which parameters a model is fitted with: the YAML's, a preset, or what a search finds; all by validation rows."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recstage import tracking
from recstage.config import ModelConfig, SearchRange, root
from recstage.config.schemas import DataKind
from recstage.config.steps import AUTO, DEFAULT
from recstage.data.dataset import Dataset
from recstage.data.interactions import Interactions
from recstage.data.kind import kind_of
from recstage.errors import ConfigError, valid_names
from recstage.evaluation.trial import REPORTED_METRIC, TrialData, Tried, tried
from recstage.models import build, params_class
from recstage.models.base import Report, silent
from recstage.progress import progress
from recstage.steps import training_report
from recstage.steps.parameter_search.on_ray import trials_on_ray
from recstage.steps.parameter_search.record import TrialRecord
from recstage.steps.train_settings import TrainSettings

if TYPE_CHECKING:
    from recstage import tuning

log = logging.getLogger(__name__)
SIZES = ("factors", "neighbors")
"""Parameters that cannot usefully exceed the number of users and items."""


def candidates(model: ModelConfig, kind: DataKind, preset: str) -> dict[str, dict[str, Any]]:
    """Params by the name of the preset, `default` first.

    Args:
        model: as its YAML and the overrides say.
        kind: of the data set.
        preset: a name: then only that one; `auto`: the default, and those for the kind of data.

    Raises:
        ConfigError: there is no preset of that name.
    """
    known = {DEFAULT: dict(model.params)} | {
        name: {**model.params, **one.params} for name, one in model.presets.items()
    }
    if preset == AUTO:
        return {name: known[name] for name in (DEFAULT, *model.presets_for(kind))}
    if preset not in known:
        raise ConfigError(
            f"preset = {preset}", rule=f"{model.name} has no such preset", fix=valid_names(preset, [AUTO, *known])
        )
    return {preset: known[preset]}


def space_for(space: Mapping[str, SearchRange], rows: Interactions) -> dict[str, SearchRange]:
    """The dimensions that can matter for these rows: no decay where there is no order, no more factors or neighbours
    than half of the users and items can carry."""
    most = max(2, min(rows.n_users, rows.n_items) // 2)
    kept = {}
    for name, one in space.items():
        if not rows.ordered and name.endswith("recency_decay"):
            continue
        if name in SIZES and one.high is not None and one.low is not None and one.high > most:
            low = min(one.low, most)
            step = one.step if one.step is not None and low + one.step <= most else None
            one = one.model_copy(update={"low": low, "high": float(most), "step": step})
        kept[name] = one
    return kept


@dataclass
class Budget:
    """Time for all fits of a run: `seconds` (0: no limit). One more fit is allowed while the longest so far, twice, is
    left: for that fit, and for the final one."""

    seconds: float
    longest: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def allows(self) -> bool:
        """Whether one more fit ends in time."""
        return not self.seconds or time.perf_counter() - self.started + 2 * self.longest <= self.seconds

    @property
    def left(self) -> float:
        """Seconds for what is to come; 0: no limit."""
        return max(1.0, self.seconds - (time.perf_counter() - self.started)) if self.seconds else 0.0

    def spent(self, seconds: float) -> None:
        """A fit took so long."""
        self.longest = max(self.longest, seconds)


@dataclass
class ParameterSearch:
    """Chooses the parameters of one model on one data set."""

    trials: TrialData
    data: Dataset
    run_id: str
    found: tuning.Search | None = None
    seconds: float = 0.0
    """What the budget leaves for the fit of the tested model; 0: no limit."""
    gain: dict[str, float] = field(default_factory=dict)
    """What the chosen preset is ahead of the default one by, as a metric of the run."""
    _known: dict[str, Tried] = field(default_factory=dict)
    """What parameters came to: no two fits of one search are the same."""

    @property
    def settings(self) -> TrainSettings:
        return self.trials.settings

    @property
    def record(self) -> TrialRecord:
        return TrialRecord(self.settings, self.data)

    def best(self) -> dict[str, Any]:
        """The parameters to fit the tested model with. Raises `ConfigError`."""
        settings = self.settings
        budget = Budget(settings.budget)
        if (settings.trials or settings.budget) and not settings.model.search:
            raise ConfigError(
                "trials" if settings.trials else "budget",
                rule=f"the model {settings.model.name} has no search space",
                fix="Give `search` in its YAML, or neither trials nor budget",
            )
        params = self._preset(candidates(settings.model, kind_of(self.trials.train), settings.preset), budget)
        if settings.trials or settings.budget:
            if settings.budget and not budget.longest:
                self._probe(params, budget)
            params = self._searched(params, budget)
        self.seconds = budget.left
        return params

    def known(self, params: Mapping[str, Any]) -> Tried | None:
        """What these parameters came to, if they were tried."""
        return self._known.get(self._key(params))

    def _key(self, params: Mapping[str, Any]) -> str:
        return str(params_class(self.settings.model)(**params).model_dump_json())

    def _remember(self, params: Mapping[str, Any], found: Tried) -> None:
        if found.value is not None:
            self._known[self._key(params)] = found

    def _probe(self, params: Mapping[str, Any], budget: Budget) -> None:
        """Tell the budget what a fit will take, by its first epoch, of a model that is trained in epochs."""
        from recstage import tuning

        planned = getattr(params_class(self.settings.model)(**params), "epochs", 0)
        if planned < 2:
            return

        def stop(step: int, metrics: Mapping[str, float]) -> None:
            raise tuning.PRUNED

        started = time.perf_counter()
        with suppress(tuning.PRUNED):
            self._tried(self._around(params), "first epoch", stop, budget)
        budget.spent((time.perf_counter() - started) * planned)

    def _preset(self, found: Mapping[str, dict[str, Any]], budget: Budget) -> dict[str, Any]:
        """The best of some sets of parameters; nothing is fitted where there is one."""
        name, params = next(iter(found.items()))
        if len(found) > 1:
            values: dict[str, float] = {}
            for one, its in found.items():
                if values and not budget.allows():
                    log.warning("%s: preset %s was not tried: the budget ends", self.settings.model.name, one)
                    continue
                values[one] = self._tried(its, f"preset {one}", silent, budget)
            name = max(values, key=values.__getitem__)
            params = found[name]
            told = ", ".join(f"{one} {training_report.short(value)}" for one, value in values.items())
            log.info("%s: preset %s, by NDCG@10 on validation: %s", self.settings.model.name, name, told)
            self.gain = {"preset_gain": values[name] - values.get(DEFAULT, values[name])}
        tracking.set_tags(self.run_id, {"preset": name})
        return params

    def _searched(self, params: dict[str, Any], budget: Budget) -> dict[str, Any]:
        """The best parameters by validation, each trial a nested run."""
        from recstage import tuning  # it imports Optuna, which a run without a search does not need

        settings = self.settings
        around = self._around(params)
        base = params_class(settings.model)(**around).model_dump()
        if settings.budget and not budget.allows():
            log.warning(
                "%s: budget of %.0f s: one fit takes %.1f s, and the tested model is another one; nothing is searched,"
                " and a model that is trained in epochs has as many as end in time",
                settings.model.name,
                settings.budget,
                budget.longest,
            )
            return params

        storage = root() / "data" / "optuna.db"
        with self._where(around, budget) as objective, tracking.translate_store_errors(str(storage)):
            self.found = tuning.search(
                space_for(settings.model.search, self.trials.train),
                objective,
                trials=settings.trials or None,
                seed=settings.seed,
                storage=storage,
                identity={
                    "model": settings.model.name,
                    "target": settings.model.target,
                    "params": base,
                    "fingerprint": self.data.fingerprint,
                    "seed": settings.seed,
                },
                start=base,
                metric=REPORTED_METRIC,
                go_on=budget.allows,
            )
        return {**around, **self.found.best_params}

    @contextmanager
    def _where(self, around: Mapping[str, Any], budget: Budget) -> Iterator[tuning.Objective | tuning.Workers]:
        """Trials one after the other here, or beside each other on the cluster."""
        if self.settings.backend == "ray":
            if self.trials.teacher is not None:
                raise ConfigError(
                    "backend = ray and distill_from",
                    rule="a teacher does not travel to the nodes of a cluster",
                    fix="Search with backend=local, or without distill_from",
                )

            def ended(params: Mapping[str, Any], found: Tried) -> None:
                self._remember(params, found)
                budget.spent(found.seconds)

            with trials_on_ray(self.trials, self.record, around, ended) as workers:
                yield workers
            return

        def objective(sampled: dict[str, Any], number: int, report: Report) -> float:
            return self._tried({**around, **sampled}, f"trial {number}", report, budget, sampled)

        yield objective

    def _around(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters that a search varies. A model that trains for a fixed number of epochs watches validation in a
        search, for as many epochs: only what is watched can be pruned."""
        whole = params_class(self.settings.model)(**params)
        if getattr(whole, "patience", None) == 0 and hasattr(whole, "epochs"):
            return {**params, "patience": whole.epochs}
        return dict(params)

    def _tried(
        self,
        params: Mapping[str, Any],
        what: str,
        report: Report,
        budget: Budget,
        sampled: Mapping[str, Any] | None = None,
    ) -> float:
        """The value of parameters on validation, in a nested run of their own."""
        from recstage import tuning

        record, model = self.record, build(self.settings.model, **params)
        with tracking.run(record.name(what), tags=record.tags, nested=True) as active:
            run_id = active.info.run_id
            record.log_params(run_id, params, sampled)
            started = time.perf_counter()
            with progress(f"{model.name} {what}", model.steps_planned, model.step_name, within=True) as shown:

                def told(step: int, metrics: Mapping[str, float]) -> None:
                    shown.advance(metrics, step)
                    record.log_step(run_id, step, metrics)
                    report(step, metrics)

                try:
                    found = self._again(params, told) or tried(self.trials, params, told)
                except tuning.PRUNED:
                    found = Tried.given_up()
            record.log_outcome(run_id, what, found)
            budget.spent(time.perf_counter() - started)
            self._remember(params, found)
        if found.value is None:
            raise tuning.PRUNED
        return found.value

    def _again(self, params: Mapping[str, Any], report: Report) -> Tried | None:
        """What these parameters came to before, reported once more; what `report` raises passes on."""
        found = self.known(params)
        if found is not None:
            for step, metrics in found.curve:
                report(step, metrics)
        return found
