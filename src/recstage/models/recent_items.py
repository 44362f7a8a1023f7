"""A user's history as one weighted row: liked items, the latest with the highest weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import Users


def recent(users: Users, recency_decay: float) -> sparse.csr_matrix:
    """Positive weights, that of the n-th last interaction divided by n**recency_decay: float32[n_users, n_items].

    The matrix is canonical. Dismissals have no weight, but count as interactions when n is counted.
    """
    if recency_decay == 0:
        return users.matrix
    return decayed(users, _nth_last(users), recency_decay)


def decayed(users: Users, nth_last: NDArray[np.int64], recency_decay: float) -> sparse.csr_matrix:
    """`recent` with the n of every entry of the histories given: `nth_last` int64, 1: the last."""
    weights = np.maximum(users.weights, 0) * nth_last.astype(np.float32) ** np.float32(-recency_decay)
    shape = (len(users), users.n_items)
    matrix = sparse.csr_matrix((weights, users.items, users.indptr), shape=shape, copy=True)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def _nth_last(users: Users) -> NDArray[np.int64]:
    return users.indptr[1:][users.rows] - np.arange(len(users.items))
