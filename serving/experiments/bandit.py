"""Thompson sampling over the two versions, with chances from the lists and rewards in the database.

A contextual bandit does so for each segment of users by itself: the context is cold, warm or hot (disjoint arms, as in
Chapelle & Li 2011). A background thread refreshes the chances. A list is rewarded where it led to anything but a view
or a dismissal. Between two refreshes a chance is constant, so the propensity that each list carries is exact. Before
any reward is known both versions have the same chance.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from recstage.data.segments import SEGMENTS
from recstage.errors import StoreError
from recstage.experiments.assignment import Experiment, thompson_chance
from serving.interfaces import RewardSource

UNKNOWN = 0.5
Rewarded = Mapping[tuple[str, str | None], tuple[int, int]]

log = logging.getLogger("serving.experiments.bandit")


class Bandit:
    """The chances of the challenger, for the experiment that was asked about last."""

    def __init__(self, rewards: RewardSource, seconds: float) -> None:
        """`rewards`: lists and rewarded lists by version and segment; `seconds`: between two refreshes."""
        self._rewards, self._seconds = rewards, seconds
        self._experiment: Experiment | None = None
        self._chances: dict[str | None, float] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def chance(self, experiment: Experiment, segment: str | None = None) -> float:
        """With which probability a list is the challenger's; `segment`: of its user, where the bandit is contextual."""
        if experiment != self._experiment:
            self._experiment, self._chances = experiment, {}
            self._start()
        return self._chances.get(segment, UNKNOWN)

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
        segments: tuple[str | None, ...] = SEGMENTS if experiment.mode == "contextual" else (None,)
        chances = {segment: _chance(experiment, found, segment) for segment in segments}
        if experiment == self._experiment:
            self._chances = chances

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


def _chance(experiment: Experiment, found: Rewarded, segment: str | None) -> float:
    """Of the lists of one segment, or (None) of all lists whatever segment they name."""
    counts = {version: [0, 0] for version in (experiment.production, experiment.challenger)}
    for (version, of), (shown, rewarded) in found.items():
        if version in counts and segment in (None, of):
            counts[version][0] += shown
            counts[version][1] += rewarded
    production, challenger = ((shown, rewarded) for shown, rewarded in counts.values())
    return thompson_chance(production, challenger, sum((*production, *challenger)))
