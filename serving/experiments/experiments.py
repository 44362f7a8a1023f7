"""The experiment that the registry describes, and the version that each request gets by it.

The challenger is the version in Staging, held by a `VersionManager` of its own. Its tags (share, mode) are followed
like the stage, so an experiment begins, grows and ends without a restart. A request takes its versions once.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

from recstage.config import EvaluationConfig
from recstage.data.segments import segment_of
from recstage.errors import ConfigError
from recstage.experiments.assignment import ADAPTIVE, Experiment, experiment_of, in_group
from serving.experiments.bandit import Bandit
from serving.experiments.shadow import Shadow
from serving.models.loaded_model import LoadedModel
from serving.models.version_manager import VersionManager
from serving.monitoring.metrics import Metrics
from serving.recommend.request import AUTO, Assignment, RecommendationRequest

log = logging.getLogger("serving.experiments")


@dataclass(frozen=True, slots=True)
class _Known:
    """The experiment of one pair of loaded models; None where there is none, and why."""

    production: LoadedModel
    challenger: LoadedModel
    experiment: Experiment | None
    problem: str | None


class Experiments:
    """Decides which version makes a list."""

    def __init__(
        self,
        production: VersionManager,
        staging: VersionManager | None,
        bandit: Bandit,
        shadow: Shadow,
        metrics: Metrics,
        thresholds: EvaluationConfig,
    ) -> None:
        """Keep the collaborators; `staging` None: no experiments. `thresholds`: of the segments of users."""
        self._thresholds = thresholds
        self._production, self._staging, self._metrics = production, staging, metrics
        self._bandit, self.shadow = bandit, shadow
        self._known: _Known | None = None

    @property
    def challenger(self) -> LoadedModel | None:
        """The version in Staging, once it is loaded; None while a newer one cannot be served."""
        staging = self._staging
        if staging is None or staging.failure is not None:
            return None
        return staging.served

    @property
    def problem(self) -> str | None:
        """Why the version in Staging is in no experiment, in one sentence."""
        known = self._current()
        return None if known is None else known.problem

    @property
    def running(self) -> Experiment | None:
        """The experiment under way; None where there is none."""
        known = self._current()
        return None if known is None else known.experiment

    def assign(self, served: LoadedModel, request: RecommendationRequest) -> Assignment:
        """Which version makes the list of a request that `served` would make.

        No experiment: a request that names a strategy, and one that Production does not serve.
        """
        if served is not self._production.served or request.strategy != AUTO:
            return Assignment(served)
        known = self._current()
        if known is None or known.experiment is None:
            return Assignment(served)
        return self._assigned(known.experiment, served, known.challenger, request.user_id)

    def version_for(self, served: LoadedModel, strategy: str, user_id: str) -> LoadedModel:
        """Which version scores for a user where `served` would: the one of their lists in a split. In every other mode
        Production, because scores that no list shows are no evidence, and two of one user must be comparable."""
        if served is not self._production.served or strategy != AUTO:
            return served
        known = self._current()
        if known is None or known.experiment is None or known.experiment.mode != "split":
            return served
        return known.challenger if known.experiment.share > 0 and in_group(user_id, known.experiment) else served

    def shadowed(self, assignment: Assignment, user_id: str) -> LoadedModel | None:
        """The challenger that is to score, unshown, what was just shown to the user; None where none is."""
        known = self._known
        if known is None or known.experiment is None or known.experiment.mode != "shadow":
            return None
        if assignment.served is not known.production or not in_group(user_id, known.experiment):
            return None
        return known.challenger

    # -- inside -------------------------------------------------------------------------------------------------------

    def _assigned(
        self, experiment: Experiment, production: LoadedModel, challenger: LoadedModel, user_id: str
    ) -> Assignment:
        name, share = experiment.name, experiment.share
        if share <= 0 or experiment.mode == "shadow":
            return Assignment(production)
        if experiment.mode in ADAPTIVE:
            segment = self._segment(production, user_id) if experiment.mode == "contextual" else None
            # the share bounds what the challenger may get, so that a bad one cannot cost more than was allowed
            chance = min(share, self._bandit.chance(experiment, segment))
            if random.random() < chance:  # noqa: S311 - not a secret
                return self._counted(Assignment(challenger, name, "challenger", chance, segment=segment))
            return self._counted(Assignment(production, name, "production", 1 - chance, segment=segment))
        if experiment.mode == "interleave":
            if not in_group(user_id, experiment):
                return Assignment(production)
            return self._counted(Assignment(production, name, "interleaved", 1.0, other=challenger))
        if in_group(user_id, experiment):
            return self._counted(Assignment(challenger, name, "challenger", share))
        return self._counted(Assignment(production, name, "production", 1 - share))

    def _segment(self, production: LoadedModel, user_id: str) -> str:
        """The segment of a user by the interactions that Production was trained with."""
        known = len(production.trained_user(user_id).items)
        return segment_of(known, self._thresholds.cold_below, self._thresholds.hot_from)

    def _counted(self, assignment: Assignment) -> Assignment:
        self._metrics.count_experiment(str(assignment.experiment), str(assignment.arm))
        return assignment

    def _current(self) -> _Known | None:
        """The experiment of the two versions that are loaded now, worked out once for each pair."""
        production, challenger = self._production.served, self.challenger
        if production is None or challenger is None:
            self._known = None
            return None
        known = self._known
        if known is not None and known.production is production and known.challenger is challenger:
            return known
        experiment, problem = None, None
        assert challenger.source is not None
        assert challenger.version is not None
        assert production.version is not None
        try:
            experiment = experiment_of(
                challenger.source.staged.experiment, self._production.name, production.version, challenger.version
            )
            log.info(
                "experiment",
                extra={
                    "event": "experiment",
                    "experiment": experiment.name,
                    "mode": experiment.mode,
                    "share": experiment.share,
                },
            )
        except ConfigError as error:
            problem = str(error)
            log.warning(
                f"no experiment runs: {problem}", extra={"event": "experiment-refused", "version": challenger.version}
            )
        self._known = _Known(production, challenger, experiment, problem)
        return self._known
