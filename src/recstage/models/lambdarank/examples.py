"""The examples that the booster learns from: candidates with features and labels, in one group per user and step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from recstage.data.interactions import Interactions
from recstage.models.features import Candidates
from recstage.models.lambdarank.candidate_features import ExclusionMask, FittedStage, iter_candidate_features
from recstage.models.lambdarank.labels import Holdout, Step

GRADES = 4
DISMISSED, UNTOUCHED = 0, 1
"""Labels of the booster below those of positives, which are 1 + their grade."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Candidates with `features` float32[p, f] and `labels` int32[p]: dismissed, untouched, or 1 + a positive's grade.

    They lie in groups of `sizes`, one per user and step, each with a positive or a dismissal; `user` int64[g] is the
    user of each. `groups` is the number of users and steps with a positive, including those whose positive no retriever
    found.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int32]
    sizes: NDArray[np.int64]
    user: NDArray[np.int64]
    groups: int

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        """All of them, one after the other. Raises `ValueError` where there are none."""
        return cls(
            features=np.concatenate([part.features for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
            sizes=np.concatenate([part.sizes for part in parts]),
            user=np.concatenate([part.user for part in parts]),
            groups=sum(part.groups for part in parts),
        )

    def ndcg(self, scores: NDArray[np.float64], cutoffs: Sequence[int]) -> list[float]:
        """Mean NDCG at each of `cutoffs` over `groups`, zero for those that the retrievers missed; gains are
        2**grade - 1."""
        gain = self._ranked_gain(-scores)
        found = []
        for k in cutoffs:
            ideal = self._dcg(self._ideal_gain, k)
            some = ideal > 0
            found.append(float((self._dcg(gain, k)[some] / ideal[some]).sum() / max(1, self.groups)))
        return found

    @cached_property
    def _group(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def _place(self) -> NDArray[np.int64]:
        return np.arange(len(self.labels)) - np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes)

    @cached_property
    def _gain(self) -> NDArray[np.float64]:
        return np.asarray(2.0 ** np.maximum(self.labels - UNTOUCHED, 0) - 1, np.float64)

    @cached_property
    def _ideal_gain(self) -> NDArray[np.float64]:
        return self._ranked_gain(-self._gain)

    def _ranked_gain(self, key: NDArray[np.float64]) -> NDArray[np.float64]:
        """Gains in the order of the groups, and within each by ascending `key`."""
        return self._gain[np.lexsort((key, self._group))]

    def _dcg(self, ranked_gain: NDArray[np.float64], k: int) -> NDArray[np.float64]:
        """DCG@k of each group."""
        first = self._place < k
        value = ranked_gain[first] / np.log2(self._place[first] + 2)
        return np.asarray(np.bincount(self._group[first], value, len(self.sizes)), np.float64)

    def head(self, groups: int) -> Examples:
        """The first groups."""
        return self.of(np.arange(len(self.sizes)) < groups)

    def of(self, chosen: NDArray[np.bool_]) -> Examples:
        """The groups that `chosen` bool[g] marks."""
        rows = np.repeat(chosen, self.sizes)
        counted = round(self.groups * np.count_nonzero(chosen) / max(1, len(chosen)))
        return Examples(self.features[rows], self.labels[rows], self.sizes[chosen], self.user[chosen], counted)

    def with_negatives(self, n: int | None, seed: int) -> Examples:
        """Of the untouched items of each group `n`, drawn at random; None: all."""
        if n is None:
            return self
        group, first = self._group, np.cumsum(self.sizes) - self.sizes
        touched = self.labels != UNTOUCHED
        kept = touched | _first(group, first, n, touched + np.random.default_rng(seed).random(len(group)))
        sizes = np.bincount(group[kept], minlength=len(self.sizes))
        some = sizes > 0
        return Examples(self.features[kept], self.labels[kept], sizes[some], self.user[some], self.groups)


class LabelledPast(NamedTuple):
    """Labels held out of some rows, and retrievers and features fitted to the rows before them."""

    held: Holdout
    stage: FittedStage


@dataclass(frozen=True)
class Grading:
    """Grades 1 to `GRADES` of positive weights, evenly between `low` and `high`; 0 for a dismissal."""

    low: float
    high: float

    @classmethod
    def of(cls, rows: Interactions) -> Grading:
        """From the range of the positive weights; those above the 95th percentile share the highest grade."""
        weights = rows.weight[rows.weight > 0]
        return cls(float(weights.min()), float(np.quantile(weights, 0.95)))

    def __call__(self, weights: NDArray[np.float32]) -> NDArray[np.int32]:
        if self.high <= self.low:
            return (weights > 0).astype(np.int32)
        share = (weights - self.low) / (self.high - self.low)
        grade = 1 + np.floor(np.clip(share, 0, 1) * (GRADES - 1) + 1e-6)
        return np.where(weights > 0, grade, 0).astype(np.int32)


@dataclass(frozen=True, eq=False)
class ExampleMaker:
    """Makes examples of the candidates of `stage`: `depth` from each retriever, without what `excluded` marks."""

    stage: FittedStage
    depth: int
    excluded: ExclusionMask
    grade: Grading

    def make(self, steps: list[Step], chosen: NDArray[np.bool_], negatives: int | None, seed: int) -> Examples:
        """Examples from the steps of the users `chosen` (bool[n_users]).

        Dismissed items are always candidates; of the untouched ones `negatives` a group are drawn (None: all are kept).
        """
        random = np.random.default_rng(seed)
        features = [np.empty((0, len(self.stage.table.names)), np.float32)]
        labels, sizes, groups = [np.empty(0, np.int32)], [np.empty(0, np.int64)], 0
        user = [np.empty(0, np.int64)]
        for step in tqdm(steps, desc="make examples", disable=None, delay=2, leave=False):
            step = _only(step, chosen[step.users.index])
            groups += len(np.unique(step.row[step.weight > 0]))
            for candidates, values, own, hit in self._labelled(step):
                # a group without a positive and without a dismissal has no order to learn
                kept = np.bincount(candidates.row, own != UNTOUCHED, len(candidates.users))[candidates.row] > 0
                if negatives is not None:
                    kept &= hit | _first(candidates.row, candidates.indptr[:-1], negatives, random.random(len(own)))
                features.append(values[kept])
                labels.append(own[kept])
                counts = np.bincount(candidates.row[kept], minlength=len(candidates.users))
                sizes.append(counts[counts > 0])
                user.append(candidates.users.index[counts > 0].astype(np.int64))
        return Examples(
            np.concatenate(features), np.concatenate(labels), np.concatenate(sizes), np.concatenate(user), groups
        )

    def _labelled(
        self, step: Step
    ) -> Iterator[tuple[Candidates, NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]]:
        """Candidates of a step with features, labels int32[p], and whether the user touched each: bool[p]."""
        targets = step.row * step.users.n_items + step.item  # ascending, so that labels are found by binary search
        dismissed = targets[step.weight <= 0]
        for rows, candidates, values in iter_candidate_features(
            self.stage.retrievers, self.stage.table, step.users, self.depth, self.excluded, dismissed, live=step.grown
        ):
            own = np.full(len(candidates), UNTOUCHED, np.int32)
            keys = candidates.keys + rows.start * step.users.n_items
            place = np.minimum(np.searchsorted(targets, keys), max(0, len(targets) - 1))
            hit = targets[place] == keys if len(targets) else np.zeros(len(keys), bool)
            weight = step.weight[place[hit]]
            own[hit] = np.where(weight > 0, UNTOUCHED + self.grade(weight), DISMISSED)
            yield candidates, values, own, hit


def _first(group: NDArray[np.int64], first: NDArray[np.int64], n: int, by: NDArray[np.float64]) -> NDArray[np.bool_]:
    """At most n of each group, the lowest in `by`; `group` int64[p] ascends, its rows begin at `first`."""
    order = np.lexsort((by, group))
    place = np.empty(len(group), np.int64)
    place[order] = np.arange(len(group)) - first[group]
    return place < n


def _only(step: Step, chosen: NDArray[np.bool_]) -> Step:
    row_of = np.cumsum(chosen) - 1
    kept = chosen[step.row]
    return Step(step.users.take(chosen), step.grown, row_of[step.row[kept]], step.item[kept], step.weight[kept])
