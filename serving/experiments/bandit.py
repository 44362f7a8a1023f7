"""Thompson sampling over the two versions, with chances from the lists and rewards in the database.

A background thread refreshes them. A list is rewarded where it led to anything but a view or a dismissal. Between two
refreshes the chance is constant, so the propensity that each list carries is exact. Before any reward is known both
versions have the same chance.
"""

from __future__ import annotations

import logging
import threading

from recstage.errors import StoreError
from recstage.experiments.assignment import Experiment, thompson_chance
from serving.interfaces import RewardSource

log = logging.getLogger("serving.experiments.bandit")


class Bandit:
    """The chance of the challenger, for the experiment that was asked about last."""

    def __init__(self, rewards: RewardSource, seconds: float) -> None:
        """`rewards`: lists and rewarded lists of each version; `seconds`: between two refreshes."""
        self._rewards, self._seconds = rewards, seconds
        self._experiment: Experiment | None = None
        self._chance = 0.5
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def chance(self, experiment: Experiment) -> float:
        """With which probability a list is the challenger's."""
        if experiment != self._experiment:
            self._experiment, self._chance = experiment, 0.5
            self._start()
        return self._chance

    def refresh(self) -> None:
        """Read the rewards and sample. While the database is unavailable the chance stays."""
        experiment = self._experiment
        if experiment is None:
            return
        try:
            found = self._rewards.rewards(experiment.name)
        except StoreError as error:
            log.warning(
                "the bandit keeps its chances", extra={"event": "degraded", "what": "rewards", "error": str(error)}
            )
            return
        nothing = (0, 0)
        chance = thompson_chance(
            found.get(experiment.production, nothing),
            found.get(experiment.challenger, nothing),
            sum(map(sum, found.values())),
        )
        if experiment == self._experiment:
            self._chance = chance

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _start(self) -> None:
        if self._thread is None and not self._stopped.is_set():
            self._thread = threading.Thread(target=self._run, name="bandit", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.refresh()
            except Exception:  # the thread must survive
                log.exception("the bandit failed", extra={"event": "bandit-failed"})
            self._stopped.wait(self._seconds)
