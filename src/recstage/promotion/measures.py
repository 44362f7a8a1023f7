"""What two models' lists are like, measured alike on the same users: popularity, diversity; and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recstage.data.interactions import Interactions
from recstage.evaluation.diversity import co_occurrence_diversity
from recstage.models.base import Recommender

K = 10
POPULAR_SHARE = 0.01
BINS = 10
NEGATIVES = 4
"""A positive is mixed with so many items that the user never had: as models that give probabilities are trained."""


@dataclass(frozen=True)
class ListMeasures:
    """`popularity_share`: of the places in the lists, how many go to the most popular hundredth of the catalogue;
    `diversity`: one minus the mean cosine of the items' users, over pairs of a list."""

    popularity_share: float
    diversity: float


def list_measures(model: Recommender, user_ids: Sequence[str], like: Recommender) -> ListMeasures:
    """Of the lists of `model`, by what `like` was trained on: its popularity, its co-occurrences. Items that `like`
    does not know are left out."""
    users = model.known(user_ids)
    found = model.rank(users, K).items
    shown = np.full(found.shape, -1, np.int32)
    shown[found >= 0] = like.items.index_of(model.items.id_of(found[found >= 0]))
    popular = most_popular(like.train_)
    places = shown[shown >= 0]
    share = float(np.isin(places, popular).mean()) if len(places) else 0.0
    diversity = co_occurrence_diversity(shown, [K], like.train_)[:, 0]
    return ListMeasures(share, float(np.nanmean(diversity)) if np.isfinite(diversity).any() else float("nan"))


def most_popular(train: Interactions) -> NDArray[np.int64]:
    """The most popular hundredth of the items, one at least."""
    n = max(1, round(POPULAR_SHARE * train.n_items))
    return np.argsort(-train.item_counts, kind="stable")[:n]


def calibration_error(model: Recommender, test: Interactions, *, seed: int = 0) -> float | None:
    """The expected calibration error (Naeini, Cooper and Hauskrecht, 2015) of a model that gives probabilities, on its
    test rows and `NEGATIVES` items for each that the user never had; None for other models, or where no test row is
    known to the model."""
    if not model.probabilities:
        return None
    user = model.train_.users.index_of(test.users.id_of(test.user_index))
    item = model.items.index_of(test.items.id_of(test.item_index))
    known = (user >= 0) & (item >= 0) & (test.weight > 0)
    user, item = user[known].astype(np.int64), item[known].astype(np.int64)
    if not len(user):
        return None
    random = np.random.default_rng(seed)
    others = random.integers(0, model.n_items, (len(user), NEGATIVES))
    had = np.concatenate([model.train_.user_index.astype(np.int64) * model.n_items + model.train_.item_index,
                          user * model.n_items + item])  # fmt: skip
    fresh = ~np.isin(user[:, None] * model.n_items + others, had)
    batch = model.known(model.train_.users.id_of(user))
    scores = model.scores_of(batch, np.concatenate([item[:, None], others], axis=1).astype(np.int32))
    able = model.can_score(batch)
    wanted = np.concatenate([np.ones((len(user), 1), bool), fresh], axis=1) & able[:, None]
    positive = np.zeros(scores.shape, bool)
    positive[:, 0] = True
    return expected_calibration_error(scores[wanted], positive[wanted]) if wanted.any() else None


def expected_calibration_error(probability: NDArray, happened: NDArray[np.bool_]) -> float:
    """Mean distance of what was said and what happened, over `BINS` bins of equal width, weighted by their rows."""
    bins = np.minimum((np.asarray(probability, np.float64) * BINS).astype(int), BINS - 1)
    rows = np.bincount(bins, minlength=BINS)
    said = np.bincount(bins, probability, minlength=BINS)
    was = np.bincount(bins, happened, minlength=BINS)
    return float(np.abs(said - was).sum() / max(rows.sum(), 1))
