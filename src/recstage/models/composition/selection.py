"""Choosing among models and their ensembles on held-out rows, by segment of users.

An ensemble can lose to its best member, and which member is best depends on the data. What decides is NDCG@10 of
held-out users, in paired differences, by the rule of one standard error (Breiman et al., "Classification and
Regression Trees", 1984): what is above by more than the standard error of the mean difference is *clearly better*.

- The single model is the best one for all users; a segment has one of its own if that is clearly better for it.
- An ensemble replaces it if it is clearly better, and is left if it is clearly worse.
- Between the two, the single model stays where the difference is known to a hundredth of its value. Where it is not
  (few users are held out), the best single model was found by chance as well, and the ensemble, which does not depend
  on one model, is the smaller risk.
- A segment of few held-out users gets what is chosen for all users.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import Interactions, Users
from recstage.data.segments import segments_of
from recstage.models.base import Fitting, Recommender, chunks
from recstage.models.ranking import mask_excluded, top_k

K = 10
"""Models are compared by NDCG at this rank."""
MOST_USERS = 4096
"""Of more users, so many are drawn."""
FEWEST_USERS = 20
"""Fewer of them decide nothing."""
MARGIN = 0.01
"""Share of the value of a single model that an ensemble may be below it."""
STREAM = 19

Option = TypeVar("Option")
log = logging.getLogger(__name__)


def in_words(by_segment: Mapping[str, str]) -> str:
    """What ranks which users, by segment: `all users by als`, or `cold users by als, warm users by knn`."""
    if len(set(by_segment.values())) == 1:
        return f"all users by {next(iter(by_segment.values()))}"
    return ", ".join(f"{segment} users by {what}" for segment, what in by_segment.items())


class Selecting(Protocol):
    """The params of a composite that a choice depends on."""

    @property
    def select(self) -> bool: ...
    @property
    def cold_below(self) -> int: ...
    @property
    def hot_from(self) -> int: ...


@dataclass(frozen=True, eq=False)
class HeldOutUsers:
    """Users with a history in the training rows, and what they liked in the held-out ones.

    `relevant` is bool[n, n_items], `segment` object[n] of 'cold', 'warm', 'hot' by the length of the history.
    """

    users: Users
    relevant: sparse.csr_matrix
    segment: NDArray[np.object_]

    @classmethod
    def of(cls, train: Interactions, held: Interactions, *, cold_below: int, hot_from: int, seed: int) -> HeldOutUsers:
        """Those of `held` whom a model fitted to `train` can know, at most `MOST_USERS`, drawn by `seed`."""
        liked = held.select(held.weight > 0)
        index = np.flatnonzero((liked.lengths > 0) & (train.lengths > 0))
        if len(index) > MOST_USERS:
            index = np.sort(np.random.default_rng((seed, STREAM)).choice(index, MOST_USERS, replace=False))
        users = train.of(index)
        return cls(users, liked.of(index).seen, segments_of(users.lengths, cold_below, hot_from))

    @classmethod
    def of_fit(cls, name: str, params: Selecting, train: Interactions, fitting: Fitting) -> HeldOutUsers | None:
        """The users by whom a fit of the composite `name` chooses; None where nothing is to be chosen, or where too few
        of them say what."""
        if not params.select or fitting.validation is None:
            return None
        segments = {"cold_below": params.cold_below, "hot_from": params.hot_from}
        held = cls.of(train, fitting.validation, **segments, seed=fitting.seed)
        if len(held) < FEWEST_USERS:
            log.info("%s: %d users on validation are too few to choose by", name, len(held))
            return None
        return held

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def _ideal(self) -> NDArray[np.float64]:
        return np.cumsum(_discounts(K))[np.minimum(np.diff(self.relevant.indptr), K) - 1]

    def ndcg(self, items: NDArray[np.int32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """NDCG@10 of lists int32[m, 10] (-1: no item) of the users at `rows` int64[m]: float64[m]."""
        hits = np.asarray(self.relevant[np.repeat(rows, items.shape[1]), np.maximum(items, 0).ravel()])
        hits = hits.reshape(items.shape) & (items >= 0)
        return np.asarray(hits @ _discounts(items.shape[1]) / self._ideal[rows])

    def of_model(self, model: Recommender) -> NDArray[np.float64]:
        """NDCG@10 of each user's list by a model: float64[n]."""
        rows = np.arange(len(self))
        return np.concatenate(
            [np.empty(0), *(self.ndcg(model.rank(self.users.take(part), K).items, part) for part in self._parts(rows))]
        )

    def of_scores(
        self,
        score: Callable[[Sequence[Option], Users], Mapping[Option, NDArray[np.float32]]],
        options: Sequence[Option],
        rows: NDArray[np.int64],
        hidden: NDArray[np.bool_],
    ) -> dict[Option, NDArray[np.float64]]:
        """NDCG@10, float64[m], of each of `options` for the users at `rows` int64[m].

        `score` gives each option's scores of the whole catalogue for some users; seen items and those of `hidden`
        (bool[n_items]) are left out.
        """
        found: dict[Option, list[NDArray[np.float64]]] = {option: [np.empty(0)] for option in options}
        for part in self._parts(rows):
            users = self.users.take(part)
            for option, scores in score(options, users).items():
                scores[:, hidden] = -np.inf
                found[option].append(self.ndcg(top_k(mask_excluded(scores, users.seen), K)[0], part))
        return {option: np.concatenate(values) for option, values in found.items()}

    def _parts(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return [rows[part] for part in chunks(len(rows), self.users.n_items)]


def _discounts(k: int) -> NDArray[np.float64]:
    return 1 / np.log2(np.arange(2, k + 2))


def paired(gains: NDArray[np.float64], than: NDArray[np.float64]) -> tuple[float, float]:
    """Mean of the paired differences, and its standard error; (0, infinity) of fewer than `FEWEST_USERS`."""
    if len(gains) < FEWEST_USERS:
        return 0.0, np.inf
    difference = gains - than
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference)))


def best_of(gains: Mapping[Option, NDArray[np.float64]]) -> Option:
    """The option with the highest mean, the first of equal ones."""
    return max(gains, key=lambda option: float(gains[option].mean()))


def best_single(gains: Mapping[str, NDArray[np.float64]], rows: NDArray[np.int64]) -> str:
    """The model that is best for all users, or the best one for the users at `rows` if that is clearly better there."""
    overall = best_of(gains)
    if len(rows) < FEWEST_USERS:
        return overall
    own = best_of({name: values[rows] for name, values in gains.items()})
    difference, error = paired(gains[own][rows], gains[overall][rows])
    return own if difference > error else overall


def single_or_ensemble(
    single: Option, gains: NDArray[np.float64], ensembles: Mapping[Option, NDArray[np.float64]]
) -> Option:
    """The best of the ensembles, or the single model (with its `gains`) by the rule of this module."""
    if not ensembles:
        return single
    best = best_of(ensembles)
    difference, error = paired(ensembles[best], gains)
    undecided = abs(difference) <= error and error > MARGIN * gains.mean()
    return best if difference > error or undecided else single
