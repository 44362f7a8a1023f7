"""The recommender over a matrix of item-to-item weights that EASE and SLIM share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import Users
from recstage.models import base
from recstage.models.explanation import by_history
from recstage.models.linear.memory import FLOAT, SPARSE
from recstage.models.recent_items import recent

Weights = NDArray[np.float32] | sparse.csr_matrix
"""What each item (row) says for each (column): [n_items, n_items], dense, or sparse where most are left out."""


class ItemToItem(base.Recommender):
    """Scores an item by the sum of the weights that lead to it from the items of a user's history; with
    `params.recency_decay` old choices weigh less.

    A subclass finds `weights_` and `vectors_`. A history is all that a score is made of, so users that training never
    met are served like those it did.
    """

    folds_in = True
    minimum_positives = 2

    weights_: Weights
    vectors_: NDArray[np.float32]

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        histories = recent(users, self.params.recency_decay)
        out = np.empty((len(users), self.n_items if items is None else items.shape[-1]), np.float32)
        for rows in base.chunks(len(users), self.n_items):
            product = histories[rows] @ self.weights_
            scores = product.toarray() if sparse.issparse(product) else np.asarray(product)
            out[rows] = base.gather(scores, items if items is None or items.ndim == 1 else items[rows])
        return out

    def explain(self, users: Users, item: int) -> base.Explanation:
        """What each item of the history adds."""
        history = recent(users, self.params.recency_decay)
        column = self.weights_[history.indices, np.full(history.nnz, item)]
        added = np.asarray(column, np.float32).ravel() * history.data
        return by_history(self.name, self.train_, self.catalogue_, item, history.indices, added)

    def item_vectors(self) -> NDArray[np.float32]:
        return self.vectors_

    def state(self) -> dict[str, NDArray]:
        if isinstance(self.weights_, np.ndarray):
            return {"vectors": self.vectors_, "weights": self.weights_}
        weights = {"data": self.weights_.data, "indices": self.weights_.indices, "indptr": self.weights_.indptr}
        return {"vectors": self.vectors_, **weights}

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        self.vectors_ = state["vectors"]
        if "weights" in state:
            self.weights_ = state["weights"]
            return
        shape = (self.n_items, self.n_items)
        self.weights_ = sparse.csr_matrix((state["data"], state["indices"], state["indptr"]), shape=shape)


class Collector:
    """Gathers the columns of a weight matrix as they are found: dense, or the `kept` greatest by size of each where
    that takes less memory."""

    def __init__(self, n_items: int, kept: int) -> None:
        self._n_items = n_items
        self._kept = kept if kept > 0 and kept * SPARSE < n_items * FLOAT else 0
        self._dense = np.empty((0 if self._kept else n_items, n_items), np.float32)
        self._items: list[NDArray[np.int32]] = []
        self._values: list[NDArray[np.float32]] = []

    @staticmethod
    def bytes_needed(n_items: int, kept: int) -> int:
        """Memory of the collected matrix, the sparse one twice: it is turned from columns to rows in the end."""
        dense = FLOAT * n_items**2
        return min(dense, 2 * SPARSE * n_items * kept) if kept else dense

    def add(self, columns: slice, block: NDArray[np.float32]) -> None:
        """The next columns, in order: float32[n_items, width]."""
        if not self._kept:
            self._dense[:, columns] = block
            return
        rows = np.ascontiguousarray(block.T)
        found = np.argpartition(np.abs(rows), self._n_items - self._kept, axis=1)[:, -self._kept :]
        found.sort(axis=1)
        self._items.append(found.astype(np.int32))
        self._values.append(np.take_along_axis(rows, found, axis=1))

    def weights(self) -> Weights:
        """The whole matrix, from row to column."""
        if not self._kept:
            return self._dense
        indptr = np.arange(self._n_items + 1, dtype=np.int32) * self._kept
        parts = (np.concatenate(self._values).ravel(), np.concatenate(self._items).ravel(), indptr)
        shape = (self._n_items, self._n_items)
        columns = sparse.csc_matrix(parts, shape=shape)
        columns.eliminate_zeros()
        return columns.tocsr()
