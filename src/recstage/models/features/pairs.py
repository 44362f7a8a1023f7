"""Measures of pairs of items: how often one follows the other, near and far, and how similar their audiences are.

All measures share one sparse pattern, the strongest pairs of each kind, so that a single search finds them all.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import Interactions
from recstage.models.neighborhood.transitions import strongest, transition_counts

NEXT, NEAR, FAR, BACK, COSINE, PROBABILITY = range(6)
"""Columns of a `PairTable`.

Strength of steps from the first item to the second of just 1, up to 3 and up to 20; of steps up to 20 from the second
to the first; cosine of their audiences; share of all steps from the first that lead to the second.
"""
MEASURES = 6
FAR_WINDOW, NEAR_WINDOW = 20, 3
PER_ITEM = 400
"""Pairs kept per item and kind of measure."""
LIKES = 150
"""Latest likes of a user that count for the cosine: bounds its cost."""
DAMPING, SOURCE_DISCOUNT, POPULARITY_DISCOUNT, SHRINKAGE = 0.4, 0.32, 0.2, 30.0
"""As in `recstage.models.neighborhood.transitions`, whose defaults were tuned."""


class PairTable:
    """Measures of (first, second) pairs of items: `values` float16[pairs, MEASURES] by CSR `indptr`, `indices`."""

    def __init__(self, indptr: NDArray[np.int64], indices: NDArray[np.int32], values: NDArray[np.float16]) -> None:
        self.indptr, self.indices, self.values = indptr, indices, values
        self.n_items = len(indptr) - 1
        self._keys = np.repeat(np.arange(self.n_items), np.diff(indptr)) * self.n_items + indices

    @classmethod
    def count(cls, rows: Interactions) -> PairTable:
        """From the order of histories."""
        frequency = (rows.item_counts + SHRINKAGE).astype(np.float64)
        following = transition_counts(rows, 1, 1.0)
        near = following + transition_counts(rows, NEAR_WINDOW, 1.0, nearest=2)
        far = near + transition_counts(rows, FAR_WINDOW, 1.0, nearest=NEAR_WINDOW + 1)
        strengths = [_strength(counts, frequency) for counts in (following, near, far, far.T.tocsr())]
        total = np.asarray(far.sum(axis=1)).ravel()
        probability = sparse.csr_matrix(sparse.diags_array((1 / np.maximum(total, 1)).astype(np.float32)) @ far)
        similar = _cosine(rows)
        kept = [strongest(matrix, PER_ITEM).astype(bool) for matrix in (strengths[FAR], strengths[BACK], similar)]
        pattern = sparse.csr_matrix(kept[0] + kept[1] + kept[2])
        pattern.sort_indices()
        measures = [_aligned(matrix, pattern) for matrix in (*strengths, similar, probability)]
        values = np.stack(measures, axis=1).astype(np.float16)
        return cls(pattern.indptr.astype(np.int64), pattern.indices.astype(np.int32), values)

    def look_up(self, first: NDArray[np.int32], second: NDArray[np.int32]) -> NDArray[np.float32]:
        """Measures of pairs (first[i, j], second[i]): float32[p, l, MEASURES], 0 where a pair is unknown."""
        out = np.zeros((*first.shape, MEASURES), np.float32)
        if not len(self._keys):
            return out
        wanted = first.astype(np.int64) * self.n_items + second[:, None]
        place = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        found = self._keys[place] == wanted
        out[found] = self.values[place[found]]
        return out

    def arrays(self) -> dict[str, NDArray]:
        return {"indptr": self.indptr, "indices": self.indices, "values": self.values}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> PairTable:
        return cls(arrays["indptr"], arrays["indices"], arrays["values"])


def _strength(counts: sparse.csr_matrix, frequency: NDArray[np.float64]) -> sparse.csr_matrix:
    damped = counts.copy()
    damped.data = damped.data ** np.float32(DAMPING)
    source = sparse.diags_array((frequency**-SOURCE_DISCOUNT).astype(np.float32))
    target = sparse.diags_array((frequency**-POPULARITY_DISCOUNT).astype(np.float32))
    return sparse.csr_matrix(source @ damped @ target)


def _cosine(rows: Interactions) -> sparse.csr_matrix:
    """Cosine of the sets of users who like two items, 0 for an item with itself: float32[n_items, n_items]."""
    back = rows.indptr[rows.user_index + 1] - np.arange(len(rows))
    kept = (rows.weight > 0) & (back <= LIKES)
    ones = np.ones(int(kept.sum()), np.float32)
    shape = (rows.n_users, rows.n_items)
    likes = sparse.csr_matrix((ones, (rows.user_index[kept], rows.item_index[kept])), shape=shape)
    count = np.asarray(likes.sum(axis=0)).ravel()
    scaled = likes @ sparse.diags_array((np.maximum(count, 1) ** -0.5).astype(np.float32))
    similar = sparse.csr_matrix(scaled.T @ scaled)
    similar.setdiag(0)
    similar.eliminate_zeros()
    return similar


def _aligned(matrix: sparse.csr_matrix, pattern: sparse.csr_matrix) -> NDArray[np.float32]:
    """Values of `matrix` at the entries of `pattern`, in its order."""
    n = pattern.shape[1]
    matrix.sort_indices()
    keys = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)) * n + matrix.indices
    wanted = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr)) * n + pattern.indices
    out = np.zeros(len(wanted), np.float32)
    if len(keys):
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found = keys[place] == wanted
        out[found] = matrix.data[place[found]]
    return out
