"""A search whose trials run beside each other, in processes that know nothing of the study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import optuna

from recstage.config import SearchRange
from recstage.errors import RecstageError
from recstage.progress import Progress
from recstage.tuning.dimensions import suggest


@dataclass(frozen=True)
class Step:
    """A trial that is under way reported a step."""

    number: int
    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """A trial has ended, with a value, pruned (None), or by an error."""

    number: int
    value: float | None = None
    error: RecstageError | None = None


class Workers(Protocol):
    """Where trials run beside each other, none of which knows the study."""

    @property
    def cores(self) -> int:
        """Trials that can be under way together, now."""
        ...

    def start(self, number: int, params: dict[str, Any]) -> None:
        """Begin a trial as soon as a core is free."""
        ...

    def prune(self, number: int) -> None:
        """Give a trial up: it ends without a value."""
        ...

    def wait(self) -> Sequence[Step | Outcome]:
        """What has happened since; returns after a moment in any case."""
        ...


def optimise_elsewhere(
    study: optuna.Study,
    space: Mapping[str, SearchRange],
    workers: Workers,
    trials: int | None,
    metric: str,
    shown: Progress,
    go_on: Callable[[], bool],
) -> None:
    """The study stays here: trials are asked of it, and told to it when they end.

    Of a number of trials, one more than there are cores is started: it waits for the core that is free next, which
    else would wait for it.
    """
    running: dict[int, optuna.Trial] = {}
    ahead = 0 if trials is None else 1
    started, wanted = 0, True
    while True:
        while wanted and len(running) < workers.cores + ahead and (trials is None or started < trials):
            trial = study.ask()
            running[trial.number] = trial
            workers.start(trial.number, {key: suggest(trial, key, dimension) for key, dimension in space.items()})
            started += 1
        if not running:
            return
        for event in workers.wait():
            if isinstance(event, Step):
                if metric in event.metrics and event.number in running:
                    trial = running[event.number]
                    trial.report(event.metrics[metric], event.step)
                    if trial.should_prune():
                        workers.prune(event.number)
                continue
            trial = running.pop(event.number)
            if event.error is not None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                raise event.error
            pruned = optuna.trial.TrialState.PRUNED if event.value is None else None
            show(study, study.tell(trial, event.value, pruned), metric, shown)
            wanted = go_on()


def show(study: optuna.Study, trial: optuna.trial.FrozenTrial, metric: str, shown: Progress) -> None:
    """Advance the progress by a trial that has ended."""
    figures = {} if trial.value is None else {metric: trial.value, "best": study.best_value}
    shown.advance(figures, words="" if figures else trial.state.name.lower())
