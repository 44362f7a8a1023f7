"""Training of the second stage: labels held out, what is fitted to the rows before them, and boosters of the examples
that these give."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from recstage.data.interactions import Interactions
from recstage.errors import DataError, OutOfMemory
from recstage.models import base
from recstage.models.composition.presets import with_best_preset
from recstage.models.composition.selection import HeldOutUsers
from recstage.models.features import FeatureTable, Past
from recstage.models.features.group import DAY
from recstage.models.lambdarank.boosting import binned, boost
from recstage.models.lambdarank.candidate_features import ExclusionMask, FittedStage, feature_table
from recstage.models.lambdarank.examples import ExampleMaker, Examples, Grading, LabelledPast
from recstage.models.lambdarank.folds import FEW_GROUPS, added, by_fold
from recstage.models.lambdarank.labels import Holdout, earlier, hold_out
from recstage.models.lambdarank.params import LambdaRankParams

log = logging.getLogger(__name__)


class Training:
    """One training on `train`. `excluded` marks what is no candidate of a user.

    `params` loses the retrievers that the rows are too few for, or that do not fit memory, and says so in the log.
    """

    def __init__(
        self, params: LambdaRankParams, train: Interactions, fitting: base.Fitting, excluded: ExclusionMask
    ) -> None:
        self.params, self.train, self.fitting, self._excluded = params, train, fitting, excluded

    def choose_presets(self, held: HeldOutUsers) -> None:
        """Set the params of the retrievers by what held-out users liked."""
        retrievers = list(self.params.retrievers)
        for place, one in enumerate(retrievers):
            try:
                retrievers[place] = with_best_preset(one, self.train, self.fitting, held)
            except (DataError, OutOfMemory):
                continue  # `stage` leaves it out and says so
        self.params = self.params.model_copy(update={"retrievers": tuple(retrievers)})

    def held_out(self) -> Holdout:
        """Labels, and the rows before them."""
        is_clock = Past(self.train, self.fitting.catalogue).now is not None
        return hold_out(
            self.train, self.params, is_clock=is_clock, since=self._since(self.train), seed=self.fitting.seed
        )

    def pasts(self) -> list[LabelledPast]:
        """What the trees learn from: labels with what was fitted to the rows before them, also of earlier periods where
        the labels of the last are few."""
        held = self.held_out()
        found = [LabelledPast(held, self.stage(held.past))]
        params = self.params
        for one in earlier(held, params, enough=FEW_GROUPS, since=self._since(self.train)):
            stage = self.stage(one.past)
            if self.params != params:  # too few rows for a retriever, so that its features would be missing
                self.params = params
                break
            found.append(LabelledPast(one, stage))
        return found

    def stage(self, rows: Interactions) -> FittedStage:
        """Retrievers and features, fitted to `rows`."""
        retrievers: dict[str, base.Recommender] = {}
        for one in self.params.retrievers:
            try:
                retrievers[one.name] = one.fit(rows, self.fitting)
            except (DataError, OutOfMemory) as error:
                if len(self.params.retrievers) == 1:
                    raise
                log.warning("lambdarank is fitted without %s: %s", one.name, error)
                self.params = self.params.with_retrievers(
                    tuple(other for other in self.params.retrievers if other.name != one.name)
                )
        return FittedStage(retrievers, self.features_of(rows, list(retrievers)))

    def features_of(self, rows: Interactions, retrievers: Sequence[str]) -> FeatureTable:
        """The table of features, with what it counts in `rows`."""
        table = feature_table(self.params, retrievers)
        since = self._since(rows)
        recent = rows if since is None else rows.select(rows.timestamp >= since)
        table.learn(Past(recent, self.fitting.catalogue, self.fitting.seed))
        return table

    def examples(self, pasts: Sequence[LabelledPast]) -> list[tuple[Examples, Examples | None]]:
        """For each booster the examples that it learns from, and those that stop its training (None without a
        validation split)."""
        params, seed, grading = self.params, self.fitting.seed, Grading.of(self.train)
        makers = [ExampleMaker(stage, params.candidates, self._excluded, grading) for _, stage in pasts]
        if params.folds > 1 and params.validation_split and sum(held.groups for held, _ in pasts) < FEW_GROUPS:
            everyone = np.ones(self.train.n_users, bool)
            made = [
                maker.make(held.steps, everyone, None, seed) for maker, (held, _) in zip(makers, pasts, strict=True)
            ]
            if folds := by_fold(Examples.joined(made), params, self.train.n_users, seed):
                return folds
        watching = np.random.default_rng(seed).random(self.train.n_users) < params.validation_split
        steps = pasts[0].held.steps
        learning = makers[0].make(steps, ~watching, params.negatives, seed)
        return [(learning, makers[0].make(steps[-1:], watching, None, seed) if watching.any() else None)]

    def boosted(self, examples: Sequence[tuple[Examples, Examples | None]], names: list[str]) -> tuple[str, int]:
        """The trees as LightGBM writes them, and the mean number of rounds; `names` are those of the features. The
        curve of the first booster is reported."""
        found: list[tuple[str, int]] = []
        bins = None
        for place, (learning, watched) in enumerate(examples):
            seed, report = self.fitting.seed + place, self.fitting.report if place == 0 else base.silent
            data = binned(learning, names, self.params, seed, like=bins)
            bins = bins or data
            found.append(boost(data, learning, watched, self.params, seed=seed, report=report))
        return added([text for text, _ in found]), round(float(np.mean([rounds for _, rounds in found])))

    def _since(self, rows: Interactions) -> float | None:
        """The time from which rows are used for features and labels; None: all rows are."""
        now = Past(rows, self.fitting.catalogue).now
        days = self.params.lookback_days
        return None if days is None or now is None else now - days * DAY
