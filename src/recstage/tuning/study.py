"""One search: a study, its sampler and pruner, and what it found.

Studies live in an SQLite file of their own, each under a name made of all that decides its outcome, so that an
interrupted search goes on where it stopped. Unpromising trials are pruned where a model reports a validation metric
as it learns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout

from recstage.config import SearchRange
from recstage.errors import ConfigError
from recstage.models.base import Report
from recstage.progress import Progress, progress
from recstage.tuning.dimensions import holds, suggest, unpacked
from recstage.tuning.workers import Workers, optimise_elsewhere, show

STARTUP_TRIALS = 5
WARMUP_STEPS = 2


@dataclass(frozen=True)
class Trial:
    """One finished trial: `value` is None where it was pruned or failed."""

    number: int
    params: dict[str, Any]
    value: float | None
    state: str


@dataclass(frozen=True)
class Search:
    """What a study found: the best parameters and value, all trials, and which parameters mattered (0 to 1)."""

    best_params: dict[str, Any]
    best_value: float
    trials: list[Trial]
    importances: dict[str, float]
    resumed: int


Objective = Callable[[dict[str, Any], int, Report], float]
"""(sampled parameters, trial number, report) -> value to maximise."""


def search(
    space: Mapping[str, SearchRange],
    objective: Objective | Workers,
    *,
    trials: int | None,
    seed: int,
    storage: Path,
    identity: Mapping[str, Any],
    start: Mapping[str, Any],
    metric: str,
    go_on: Callable[[], bool] = lambda: True,
) -> Search:
    """Maximise `objective` over `space` until the study has `trials` finished trials (None: no limit), or `go_on`,
    asked after each, says no; the first one tries `start`. Given `Workers`, trials are under way together, as
    `optimise_elsewhere` says: what a trial tries then depends on which others have ended, and a seed no
    longer decides all.

    `identity` is all that decides the outcome apart from the space (data, model, seed): the same one resumes the same
    study. `metric` names the reported number that pruning looks at. Raises `ConfigError` where there is no space, or
    where no trial succeeded.
    """
    if not space:
        raise ConfigError("trials", rule="the model has no search space", fix="Give `search` in its YAML, or trials=0")
    storage.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # whoever started a trial reports what ended it
    name = study_name(identity, space)
    with _alone(storage, name):
        with FileLock(f"{storage}.lock"):  # two processes must not initialise one database together
            study = optuna.create_study(
                storage=f"sqlite:///{storage}",
                study_name=name,
                load_if_exists=True,
                direction="maximize",
                pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=WARMUP_STEPS),
            )
        _clear_interrupted(study)
        resumed = _finished(study)
        study.sampler = optuna.samplers.TPESampler(
            seed=seed + resumed, n_startup_trials=STARTUP_TRIALS, constant_liar=not callable(objective)
        )
        if resumed == 0:
            study.enqueue_trial(
                {key: start[key] for key in space if key in start and holds(space[key], start[key])},
                skip_if_exists=True,
            )
        with progress(
            f"tune {identity.get('model', '')}".strip(),
            None if trials is None else max(trials, resumed),
            "trial",
            at_once=True,
        ) as shown:
            shown.resume(resumed, last=trials is not None and resumed >= trials)
            left = None if trials is None else max(0, trials - resumed)
            try:
                if callable(objective):
                    _optimise(study, space, objective, left, metric, shown, go_on)
                else:
                    optimise_elsewhere(study, space, objective, left, metric, shown, go_on)
            except KeyboardInterrupt as stopped:
                stopped.add_note(f"kept {_counted(_finished(study), 'finished trial')}; the same command resumes")
                raise
    if not any(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials):
        raise ConfigError(f"{len(study.trials)} trials", rule="none of them succeeded", fix="Widen the search space")
    return Search(
        unpacked(study.best_params, space),
        study.best_value,
        [Trial(t.number, unpacked(t.params, space), t.value, t.state.name.lower()) for t in study.trials],
        _importances(study),
        resumed,
    )


@contextmanager
def _alone(storage: Path, name: str) -> Iterator[None]:
    lock = FileLock(f"{storage}.{name}.lock", timeout=0)
    try:
        with lock:
            yield
    except Timeout as error:
        raise ConfigError(f"study {name}", rule="another process is searching it", fix="Wait for it to end") from error


def _optimise(
    study: optuna.Study,
    space: Mapping[str, SearchRange],
    objective: Objective,
    trials: int | None,
    metric: str,
    shown: Progress,
    go_on: Callable[[], bool],
) -> None:
    def run_trial(trial: optuna.Trial) -> float:
        params = {key: suggest(trial, key, dimension) for key, dimension in space.items()}

        def report(step: int, metrics: Mapping[str, float]) -> None:
            if metric in metrics:
                trial.report(metrics[metric], step)
                if trial.should_prune():
                    raise optuna.TrialPruned

        return objective(params, trial.number, report)

    def tell(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        show(study, trial, metric, shown)
        if not go_on():
            study.stop()

    study.optimize(run_trial, n_trials=trials, callbacks=[tell])


PRUNED = optuna.TrialPruned
"""Raised through a fit's `report` where a trial is given up."""


def study_name(identity: Mapping[str, Any], space: Mapping[str, SearchRange]) -> str:
    """A name that changes with anything that decides the outcome."""
    content = json.dumps(
        [dict(identity), {key: value.model_dump() for key, value in space.items()}], sort_keys=True, default=str
    )
    return f"{identity.get('model', 'study')}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _finished(study: optuna.Study) -> int:
    return sum(trial.state.is_finished() and trial.state != optuna.trial.TrialState.FAIL for trial in study.trials)


def _clear_interrupted(study: optuna.Study) -> None:
    """Trials that a killed process left RUNNING would be waited for, and count as nothing: they end as failed."""
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)


def _importances(study: optuna.Study) -> dict[str, float]:
    complete = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
        return {}
    return dict(
        optuna.importance.get_param_importances(study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0))
    )
