"""Features of taste by category: what share of the user's likes, all and latest, the candidate's categories got."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.models.features.group import Group, Past, ratio, stacked
from recstage.models.features.slate import Slate

LAST = 5


class AffinityGroup(Group):
    """All NaN for candidates without categories."""

    name = "affinity"
    features = {
        "affinity_share": "share of the user's likes in the candidate's categories, mean over its categories",
        "affinity_best": "the same, greatest over its categories",
        "affinity_recent_share": "share of his last ten likes in its categories, mean",
        "affinity_recent_best": "share of his last ten likes in its categories, greatest",
        "affinity_lift": "log of his share in its categories over everybody's, mean",
        "affinity_weight": "mean weight of his likes in its categories over that of his likes in all categories",
        "affinity_dismissed": "share of what he met in its categories that he dismissed, mean",
        "affinity_new": "share of its categories in which he has liked nothing yet",
        "affinity_last": "categories in common with his last like over the categories of either (Jaccard)",
        "affinity_last_5": "mean of that over his last five likes",
        "affinity_focus": "entropy of his likes over categories, 0 (one category) to 1 (all alike)",
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

    def compute(self, slate: Slate) -> NDArray[np.float32]:
        out = np.full((len(slate), len(self.features)), np.nan, np.float32)
        overall = self.arrays["share"]
        if not len(overall):
            return out
        tagged, starts, category = self._expanded(slate.item)
        if not tagged.any():
            return out
        lengths = np.diff(np.append(starts, len(category)))
        row = np.repeat(slate.row[tagged], lengths)

        def mean(values: NDArray) -> NDArray:
            return np.add.reduceat(values, starts) / lengths

        matrix = self._matrix()
        users = slate.users
        likes = users.seen.multiply(users.matrix > 0).astype(np.float32) @ matrix
        weights, met = users.matrix @ matrix, users.seen.astype(np.float32) @ matrix
        likes, weights, met = (np.asarray(part.todense(), np.float32) for part in (likes, weights, met))
        total = likes.sum(axis=1, keepdims=True)
        share = likes / np.maximum(total, 1)
        recent = self._recent(slate, matrix)
        dismissed = ratio(met - likes, met)
        typical = ratio(weights.sum(axis=1, keepdims=True), total)
        relative = ratio(weights, likes) / typical
        of_pair, of_recent = share[row, category], recent[row, category]
        entropy = -(share * np.log(np.maximum(share, 1e-12))).sum(axis=1) / np.log(max(2, len(overall)))
        jaccard = self._jaccard(slate, tagged, starts, category, lengths)
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
                entropy[slate.row[tagged]],
            ],
            int(tagged.sum()),
        )
        return out

    def _matrix(self) -> sparse.csr_matrix:
        indptr, category = self.arrays["indptr"], self.arrays["category"]
        shape = (len(indptr) - 1, len(self.arrays["share"]))
        return sparse.csr_matrix((np.ones(len(category), np.float32), category, indptr), shape=shape)

    def _expanded(self, item: NDArray[np.int32]) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int32]]:
        """Which of the items have categories; those of these, one after the other, and where each item's begin."""
        indptr = self.arrays["indptr"]
        lengths = indptr[item + 1] - indptr[item]
        tagged = lengths > 0
        lengths, first = lengths[tagged], indptr[item[tagged]]
        starts = np.cumsum(lengths) - lengths
        entries = np.arange(lengths.sum()) + np.repeat(first - starts, lengths)
        return tagged, starts, self.arrays["category"][entries]

    @staticmethod
    def _recent(slate: Slate, matrix: sparse.csr_matrix) -> NDArray[np.float32]:
        """Share of the last likes in each category: float32[n, n_categories]."""
        known = slate.latest >= 0
        indptr = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
        ones = np.ones(int(indptr[-1]), np.float32)
        last = sparse.csr_matrix((ones, slate.latest[known], indptr), shape=(len(known), matrix.shape[0]))
        likes = np.asarray((last @ matrix).todense())
        return likes / np.maximum(likes.sum(axis=1, keepdims=True), 1)

    def _jaccard(
        self,
        slate: Slate,
        tagged: NDArray[np.bool_],
        starts: NDArray[np.int64],
        category: NDArray[np.int32],
        lengths: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Jaccard of each tagged candidate with each of the last items: float32[p, LAST], NaN where there is none."""
        matrix = self._matrix()
        pair_row = slate.row[tagged]
        row = np.repeat(pair_row, lengths)
        columns = []
        for place in range(LAST):
            last = slate.latest[:, place]
            theirs = np.asarray(matrix[np.maximum(last, 0)].todense())
            common = np.add.reduceat(theirs[row, category], starts)
            either = lengths + theirs.sum(axis=1)[pair_row] - common
            columns.append(np.where(last[pair_row] >= 0, common / either, np.nan))
        return stacked(columns, len(pair_row))
