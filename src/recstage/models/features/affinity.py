"""Features of preference by category: the share of the user's likes, all and latest, in the candidate's categories."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recstage.models.features.candidates import Candidates
from recstage.models.features.group import Group, Past, ratio, stacked

LAST = 5


class AffinityGroup(Group):
    """All NaN for candidates without categories."""

    name = "affinity"
    features = {
        "affinity_share": "share of the user's likes in the candidate's categories, mean over its categories",
        "affinity_best": "the same, highest over its categories",
        "affinity_recent_share": "share of the user's last ten likes in its categories, mean",
        "affinity_recent_best": "share of the user's last ten likes in its categories, highest",
        "affinity_lift": "log of the user's share in its categories over that of all users, mean",
        "affinity_weight": "mean weight of the user's likes in its categories over that of all their likes",
        "affinity_dismissed": "share of the seen items in its categories that the user dismissed, mean",
        "affinity_new": "share of its categories in which the user has liked nothing yet",
        "affinity_last": "categories in common with the last like over the categories of either (Jaccard)",
        "affinity_last_5": "mean of that over the last five likes",
        "affinity_focus": "entropy of the user's likes over categories, 0 (one category) to 1 (all alike)",
    }

    def learn(self, past: Past) -> None:
        matrix = past.catalogue.category_matrix
        matrix.sort_indices()
        likes = past.rows.item_counts @ matrix
        self.arrays = {
            "indptr": matrix.indptr.astype(np.int64),
            "category": matrix.indices.astype(np.int32),
            "share": (likes / max(1, likes.sum())).astype(np.float32),
        }

    def compute(self, candidates: Candidates) -> NDArray[np.float32]:
        out = np.full((len(candidates), len(self.features)), np.nan, np.float32)
        tagged, starts, category = self._expanded(candidates.item)
        if not tagged.any():
            return out
        lengths = np.diff(np.append(starts, len(category)))
        pair_row = candidates.row[tagged]
        row = np.repeat(pair_row, lengths)

        def mean(values: NDArray) -> NDArray:  # over the categories of each candidate, which lie side by side
            return np.add.reduceat(values, starts) / lengths

        users, overall = candidates.users, self.arrays["share"]
        liked = users.weights > 0
        seen = self._tally(users.rows, users.items, len(users))
        likes = self._tally(users.rows[liked], users.items[liked], len(users))
        weights = self._tally(users.rows[liked], users.items[liked], len(users), users.weights[liked])
        total = likes.sum(axis=1, keepdims=True)
        share = likes / np.maximum(total, 1)
        dismissed = ratio(seen - likes, seen)
        relative = ratio(weights, likes) / ratio(weights.sum(axis=1, keepdims=True), total)
        entropy = -(share * np.log(np.maximum(share, 1e-12))).sum(axis=1) / np.log(max(2, len(overall)))
        of_pair, of_recent = share[row, category], self._recent(candidates)[row, category]
        jaccard = self._jaccard(candidates, pair_row, row, starts, category, lengths)
        out[tagged] = stacked(
            [
                mean(of_pair),
                np.maximum.reduceat(of_pair, starts),
                mean(of_recent),
                np.maximum.reduceat(of_recent, starts),
                mean(np.log((of_pair + 0.01) / (overall[category] + 0.01))),
                mean(np.nan_to_num(relative[row, category], nan=1.0)),
                mean(np.nan_to_num(dismissed[row, category])),
                mean((of_pair == 0).astype(np.float32)),
                jaccard[:, 0],
                ratio(np.nansum(jaccard, axis=1), np.isfinite(jaccard).sum(axis=1)),
                entropy[pair_row],
            ],
            len(pair_row),
        )
        return out

    def _expanded(self, item: NDArray[np.int32]) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int32]]:
        """Which items have categories, bool[p]; the start of each such item's categories; their concatenation."""
        indptr = self.arrays["indptr"]
        lengths = indptr[item + 1] - indptr[item]
        tagged = lengths > 0
        lengths, first = lengths[tagged], indptr[item[tagged]]
        starts = np.cumsum(lengths) - lengths
        entries = np.arange(lengths.sum()) + np.repeat(first - starts, lengths)
        return tagged, starts, self.arrays["category"][entries]

    def _tally(
        self, row: NDArray[np.int64], item: NDArray[np.int32], n: int, weight: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Total weight (1 by default) of each row's items in each category: float32[n, n_categories]."""
        width = len(self.arrays["share"])
        tagged, starts, category = self._expanded(item)
        lengths = np.diff(np.append(starts, len(category)))
        cell = np.repeat(row[tagged], lengths) * width + category
        weights = None if weight is None else np.repeat(weight[tagged], lengths)
        return np.bincount(cell, weights, n * width).reshape(n, width).astype(np.float32)

    def _recent(self, candidates: Candidates) -> NDArray[np.float32]:
        """Share of the last likes in each category: float32[n, n_categories]."""
        row, place = np.nonzero(candidates.latest >= 0)
        likes = self._tally(row, candidates.latest[row, place], len(candidates.users))
        return likes / np.maximum(likes.sum(axis=1, keepdims=True), 1)

    def _jaccard(
        self,
        candidates: Candidates,
        pair_row: NDArray[np.int64],
        row: NDArray[np.int64],
        starts: NDArray[np.int64],
        category: NDArray[np.int32],
        lengths: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Jaccard of each candidate with categories and each of the last items: float32[p, LAST], NaN: no such item."""
        columns = []
        for place in range(LAST):
            last = candidates.latest[:, place]
            known = np.flatnonzero(last >= 0)
            of_last = self._tally(known, last[known], len(last))
            common = np.add.reduceat(of_last[row, category], starts)
            either = lengths + of_last.sum(axis=1)[pair_row] - common
            columns.append(np.where(last[pair_row] >= 0, common / either, np.nan))
        return stacked(columns, len(pair_row))
