"""Metrics of ranked lists: pure functions over arrays; `recstage.evaluation.protocol` feeds them.

Accuracy works on `hits`, bool[n, K]: whether the item at each rank of each user's list is one of their relevant (test)
items, and on `n_relevant`, int[n]: how many they have. Relevance is binary. Every accuracy metric returns float64[n],
one value a user, for the first `k <= K` ranks. Definitions follow trec_eval where it has the metric, so that they can
be checked against it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recstage.errors import DataError


def hits_of(
    lists: NDArray[np.int32], rows: NDArray[np.int64], items: NDArray[np.int32], n_items: int
) -> NDArray[np.bool_]:
    """Where the ranked items of `lists` (int32[n, K], -1: no item) are relevant: bool[n, K].

    The pairs (`rows[j]`, `items[j]`) are the relevant items, a row being a position in `lists`.
    """
    if not len(items):
        return np.zeros(lists.shape, bool)
    relevant = np.sort(rows.astype(np.int64) * n_items + items)
    asked = np.arange(len(lists), dtype=np.int64)[:, None] * n_items + lists
    nearest = relevant[np.searchsorted(relevant, asked).clip(max=len(relevant) - 1)]
    return (nearest == asked) & (lists >= 0)


# -- accuracy ----------------------------------------------------------------------------------------------------------


def ndcg(hits: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Normalised discounted cumulative gain: sum of 1 / log2(rank + 1) over the hits, divided by the same sum for a
    list that begins with all relevant items. trec_eval `ndcg_cut`; Järvelin and Kekäläinen 2002, with binary
    gains."""
    discounts = 1 / np.log2(np.arange(2, _within(hits, k) + 2))
    best = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(n_relevant, k)]
    return _ratio(hits[:, :k] @ discounts, best)


def hit_rate(hits: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """One where any of the first k is relevant. trec_eval `success`; He et al. 2017 call it HR."""
    return np.asarray(hits[:, : _within(hits, k)].any(axis=1), np.float64)


def recall(hits: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Share of the user's relevant items among the first k. trec_eval `recall`: divided by all of them, even above
    k."""
    return _ratio(hits[:, : _within(hits, k)].sum(axis=1), n_relevant)


def precision(hits: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Share of relevant items among the first k. trec_eval `P`: divided by k, even where the list is shorter."""
    return np.asarray(hits[:, : _within(hits, k)].sum(axis=1) / k)


def average_precision(hits: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Sum over the hits of the precision at their rank, divided by the number of relevant items; its mean over users is
    MAP. trec_eval `map_cut`: divided by all relevant items, so that a perfect list of k scores k / n_relevant where
    there are more than k."""
    cut = hits[:, : _within(hits, k)]
    precisions = np.cumsum(cut, axis=1) / np.arange(1, k + 1)
    return _ratio((precisions * cut).sum(axis=1), n_relevant)


def reciprocal_rank(hits: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """One over the rank of the first hit among the first k, 0 where there is none; its mean over users is MRR.
    trec_eval `recip_rank`, cut at k; Voorhees 1999."""
    cut = hits[:, : _within(hits, k)]
    return np.where(cut.any(axis=1), 1 / (cut.argmax(axis=1) + 1), 0.0)


ACCURACY = {
    "ndcg": ndcg,
    "hit_rate": hit_rate,
    "recall": recall,
    "precision": precision,
    "map": average_precision,
    "mrr": reciprocal_rank,
}
"""The accuracy metrics by the names they are logged under."""


# -- one test item among sampled candidates ----------------------------------------------------------------------------


def ranks_among(
    scores: NDArray[np.float32], others: NDArray[np.float32], counted: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Rank (from 1) of each user's test item among their candidates: int64[n, p].

    `scores` float32[n, p] of test items, `others` float32[n, m] of candidates, of which those that `counted` (bool[n,
    m]) marks take part. Ties are broken against the test item, as He et al.'s published evaluation does (it puts the
    test item last and takes the best k in a stable order): a model that scores everything alike is ranked last, not
    first. A candidate scored NaN is ahead of everything.
    """
    ahead = np.zeros(scores.shape, np.int64)
    for column in range(scores.shape[1]):
        behind = others < scores[:, column, None]
        ahead[:, column] = (counted & ~behind).sum(axis=1)
    return ahead + 1


def sampled_ndcg(ranks: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """NDCG where the item of each rank is the only relevant one: 1 / log2(rank + 1) within k, else 0 (He et al.
    2017)."""
    return np.where(ranks <= k, 1 / np.log2(ranks + 1), 0.0)


def sampled_hit_rate(ranks: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """One where the rank is within k (He et al. 2017); equal to recall, and k times precision, with one relevant
    item."""
    return (ranks <= k).astype(np.float64)


def sampled_reciprocal_rank(ranks: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """One over the rank within k, else 0; equal to average precision with one relevant item."""
    return np.where(ranks <= k, 1 / ranks, 0.0)


SAMPLED = {
    "sampled_ndcg": sampled_ndcg,
    "sampled_hit_rate": sampled_hit_rate,
    "sampled_mrr": sampled_reciprocal_rank,
}
"""The metrics of the sampled protocol by the names they are logged under."""


# -- beyond accuracy ---------------------------------------------------------------------------------------------------


def exposure(lists: NDArray[np.int32], n_items: int) -> NDArray[np.int64]:
    """How many lists show each item: int64[n_items]. `lists` int32[n, k], -1: no item."""
    return np.bincount(lists[lists >= 0], minlength=n_items)


def coverage(shown: NDArray[np.int64]) -> float:
    """Share of the items that any list shows. `shown` is `exposure`. Catalogue coverage of Ge et al. 2010."""
    return float(np.count_nonzero(shown) / len(shown)) if len(shown) else 0.0


def gini(shown: NDArray[np.int64]) -> float:
    """Inequality of exposure over all items, those never shown included: 0 all alike, 1 a single item has everything.
    Gunawardana and Shani 2015 (Recommender Systems Handbook): sum of (2 j - n - 1) p_j / (n - 1), p ascending."""
    n, total = len(shown), shown.sum()
    if n < 2 or total == 0:
        return 0.0
    return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(shown) / ((n - 1) * total))


def self_information(item_counts: NDArray[np.int64], n_users: int) -> NDArray[np.float64]:
    """Surprise of each item in bits: log2(n_users / count), float64[n_items]. An item that no user has counts as held
    by one user, the greatest surprise that the data allows. Zhou et al. 2010."""
    return np.log2(max(1, n_users) / np.maximum(item_counts, 1))


def novelty(lists: NDArray[np.int32], information: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean self-information of each user's list, in bits: float64[n], NaN where the list is empty. Zhou et al. 2010."""
    shown = lists >= 0
    total = np.where(shown, information[np.maximum(lists, 0)], 0.0).sum(axis=1)
    return _ratio(total, shown.sum(axis=1), empty=np.nan)


def tail(item_counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Items outside the most popular fifth of the catalogue: bool[n_items]. Equal counts fall to the item that comes
    first."""
    order = np.argsort(-item_counts, kind="stable")
    found = np.ones(len(item_counts), bool)
    found[order[: -(-len(order) // 5)]] = False
    return found


def novelty_share(lists: NDArray[np.int32], in_tail: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of each user's list that is from the `tail`: float64[n], NaN where the list is empty. APLT of Abdollahpouri
    et al. 2019."""
    shown = lists >= 0
    return _ratio((shown & in_tail[np.maximum(lists, 0)]).sum(axis=1), shown.sum(axis=1), empty=np.nan)


# -- targets -----------------------------------------------------------------------------------------------------------

TARGETS = {"gini_at_10": ("below", 0.3), "novelty_share_at_10": ("above", 0.2)}
"""What catalogues that are shown evenly come to: reported beside the figure, asked by no gate."""


def target_met(name: str, value: float) -> bool:
    """Whether the value of a metric in `TARGETS` is on the right side."""
    side, bound = TARGETS[name]
    return value < bound if side == "below" else value > bound


# -- inside ------------------------------------------------------------------------------------------------------------


def _within(hits: NDArray[np.bool_], k: int) -> int:
    if not 1 <= k <= hits.shape[1]:
        raise DataError(
            f"cutoff {k} over lists of {hits.shape[1]}",
            rule="a cutoff is at least 1 and at most the lists' length",
            fix="Rank longer lists or cut earlier",
        )
    return k


def _ratio(above: ArrayLike, below: ArrayLike, empty: float = 0.0) -> NDArray[np.float64]:
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.full(above.shape, empty), where=below > 0)
