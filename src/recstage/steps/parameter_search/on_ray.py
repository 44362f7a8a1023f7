"""Trials on the cores of a Ray cluster, each a nested run of the one run.

The caller alone talks to MLflow and to the study: workers need neither the tracking store nor a folder in common, and
a worker that is lost leaves nothing half written. Its trial is made again under the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from recstage import cluster, tracking, tuning
from recstage.evaluation.trial import TrialData, Tried, with_resources
from recstage.steps.parameter_search.record import TrialRecord

Ended = Callable[[Mapping[str, Any], Tried], None]


class TrialsOnRay:
    """`tuning.Workers` of a cluster; `around` are the parameters that no trial varies, `ended` is told the parameters
    and the outcome of each trial."""

    def __init__(self, pool: cluster.Pool, record: TrialRecord, around: Mapping[str, Any], ended: Ended) -> None:
        self._pool, self._record, self._around, self._told = pool, record, around, ended
        self._runs: dict[int, str] = {}
        self._params: dict[int, dict[str, Any]] = {}
        self._steps: dict[int, int] = {}

    @property
    def cores(self) -> int:
        return self._pool.cores

    def start(self, number: int, params: dict[str, Any]) -> None:
        """Open the nested run of a trial, and call for it."""
        run_id = tracking.begin_nested(self._record.name(f"trial {number}"), tags=self._record.tags)
        self._runs[number] = run_id
        whole = {**self._around, **params}
        self._params[number] = whole
        self._record.log_params(run_id, whole, params)
        self._pool.start(number, whole)

    def prune(self, number: int) -> None:
        self._pool.stop(number)

    def wait(self) -> list[tuning.Step | tuning.Outcome]:
        """What has happened since, logged."""
        found: list[tuning.Step | tuning.Outcome] = []
        for event in self._pool.wait():
            if isinstance(event, cluster.Ended):
                found.append(self._ended(event))
            elif event.key in self._runs and event.step > self._steps.get(event.key, 0):  # else of a trial tried again
                self._steps[event.key] = event.step
                self._record.log_step(self._runs[event.key], event.step, event.metrics)
                found.append(tuning.Step(event.key, event.step, event.metrics))
        return found

    def close(self) -> None:
        """Runs that have not ended by now were interrupted."""
        for run_id in self._runs.values():
            tracking.end_nested(run_id, "KILLED")

    def _ended(self, event: cluster.Ended) -> tuning.Outcome:
        run_id = self._runs.pop(event.key)
        if event.error is not None:
            tracking.end_nested(run_id, "FAILED")
            return tuning.Outcome(event.key, error=event.error)
        outcome: Tried = Tried.given_up() if event.stopped else event.result
        self._told(self._params.pop(event.key), outcome)
        self._record.log_outcome(run_id, f"trial {event.key}", outcome)
        tracking.end_nested(run_id, "FINISHED")
        return tuning.Outcome(event.key, outcome.value)


@contextmanager
def trials_on_ray(
    data: TrialData, record: TrialRecord, around: Mapping[str, Any], ended: Ended
) -> Iterator[TrialsOnRay]:
    """Trials on the cluster of the session."""
    with cluster.Pool(with_resources, data, reports=True) as pool:
        trials = TrialsOnRay(pool, record, around, ended)
        try:
            yield trials
        finally:
            trials.close()
