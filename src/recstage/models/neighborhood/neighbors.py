"""Nearest rows of a sparse matrix, and the base of recommenders with item-to-item neighbours (KNN, graph)."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from tqdm import tqdm

from recstage import cluster
from recstage.data.interactions import Users
from recstage.models import base
from recstage.models.explanation import by_history
from recstage.models.neighborhood.weighting import lengths, unit
from recstage.models.ranking import top_k
from recstage.models.recent_items import recent

ROWS_AT_ONCE = 256
"""Rows whose similarity to all others is held at once."""
ROWS_OF_A_CALL = 2_048
"""Rows whose neighbours one call on a cluster finds."""

Found = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Neighbours of n rows, nearest first: indices int32[n, k] padded with -1, similarities float32[n, k] padded with 0."""


class Rows:
    """Weighted rows that are compared with each other and with queries.

    Similarity is the dot product, with `cosine` divided by the product of the two lengths plus `shrinkage`, which
    lowers it for pairs with little in common. Only similarities above zero count.
    """

    def __init__(self, rows: sparse.csr_matrix, *, shrinkage: float = 0.0, cosine: bool = True) -> None:
        self.rows, self.shrinkage, self.cosine = rows, shrinkage, cosine
        self._columns = rows.T.tocsr()
        self._lengths = lengths(rows)

    def nearest(self, k: int, backend: str = "local") -> Found:
        """The k rows most similar to each row, itself left out; with `backend` ray by blocks on the cluster.

        Similarities are the same either way; of neighbours that are equally similar another may be the last that is
        kept.
        """
        n = self.rows.shape[0]
        if backend == "ray":
            return self._on_cluster(k)
        if self.shrinkage > 0 and self.cosine:
            return self.similar(self.rows, k, itself=np.arange(n))
        from implicit.nearest_neighbours import all_pairs_knn  # compiled and threaded; imported by a fit only

        columns = sparse.csr_matrix(unit(self.rows).T if self.cosine else self._columns, dtype=np.float64)
        threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
        pairs = all_pairs_knn(columns, min(k, n - 1) + 1, show_progress=False, num_threads=threads)
        others, values = pairs.col.reshape(n, -1), pairs.data.reshape(n, -1).astype(np.float32)
        return _best(others, np.where(others == np.arange(n)[:, None], 0, values), k)

    def _on_cluster(self, k: int) -> Found:
        compared = self
        if not (self.shrinkage > 0 and self.cosine):  # in float64, as the compiled search does
            rows = unit(self.rows) if self.cosine else self.rows
            compared = Rows(sparse.csr_matrix(rows, dtype=np.float64), cosine=False)
        blocks = (slice(at, at + ROWS_OF_A_CALL) for at in range(0, self.rows.shape[0], ROWS_OF_A_CALL))
        with cluster.session():
            found = list(cluster.in_order(_similar_to, (compared, k), blocks))
        return np.concatenate([indices for indices, _ in found]), np.concatenate([values for _, values in found])

    def similar(self, queries: sparse.csr_matrix, k: int, *, itself: NDArray[np.int64] | None = None) -> Found:
        """The k rows most similar to each query; with `itself`, query i is the row `itself[i]`, which is left out."""
        n = queries.shape[0]
        own = lengths(queries)
        indices, values = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
        for start in tqdm(range(0, n, ROWS_AT_ONCE), desc="neighbours", disable=None, delay=2, leave=False):
            part = slice(start, start + ROWS_AT_ONCE)
            scores = (queries[part] @ self._columns).toarray()
            if self.cosine:
                scores /= np.maximum(own[part, None] * self._lengths + self.shrinkage, 1e-12)
            if itself is not None:
                scores[np.arange(len(scores)), itself[part]] = 0
            scores[scores <= 0] = -np.inf
            indices[part], values[part] = top_k(scores.astype(np.float32), k)
        return indices, np.where(indices >= 0, values, 0).astype(np.float32)


def _similar_to(shared: tuple[Rows, int], block: slice, report: cluster.Report) -> Found:
    compared, k = shared
    rows = compared.rows[block]
    return compared.similar(rows, k, itself=np.arange(block.start, block.start + rows.shape[0]))


class ItemNeighbors(base.Recommender):
    """Scores an item by the sum of its similarities to the items of a user's history.

    The sum is divided by the item's popularity to the power of `params.popularity_discount`; with
    `params.recency_decay` old choices have less weight. A subclass finds `neighbors_` (int32[n_items, k]: the
    neighbours of each item, -1: no more) and `similarity_` (float32[n_items, k]), and passes them to `_set`.
    """

    folds_in = True
    minimum_positives = 2

    neighbors_: NDArray[np.int32]
    similarity_: NDArray[np.float32]

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        return weighted_sum(recent(users, self.params.recency_decay), self._links, items)

    def explain(self, users: Users, item: int) -> base.Explanation:
        history = recent(users, self.params.recency_decay)
        added = self._links[history.indices, item].toarray().ravel() * history.data
        return by_history(self.name, self.train_, self.catalogue_, item, history.indices, added)

    def state(self) -> dict[str, NDArray]:
        return {"neighbors": self.neighbors_, "similarity": self.similarity_}

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        self._set(state["neighbors"], state["similarity"])

    def _set(self, neighbors: NDArray[np.int32], similarity: NDArray[np.float32]) -> None:
        self.neighbors_, self.similarity_ = neighbors, similarity
        discount = popularity_discount(self.train_.item_counts, self.params.popularity_discount)
        self._links = table(neighbors, similarity * discount[:, None], self.n_items).T.tocsr()


def weighted_sum(
    weights: sparse.csr_matrix, rows: sparse.csr_matrix, items: NDArray[np.int32] | None
) -> NDArray[np.float32]:
    """`weights` (csr[n, m]) times `rows` (csr[m, n_items]), as `Recommender.score` returns scores for its `items`."""
    out = np.empty((weights.shape[0], rows.shape[1] if items is None else items.shape[-1]), np.float32)
    for part in base.chunks(len(out), rows.shape[1]):
        own = items if items is None or items.ndim == 1 else items[part]
        out[part] = base.gather((weights[part] @ rows).toarray(), own)
    return out


def table(indices: NDArray[np.int32], values: NDArray[np.float32], columns: int) -> sparse.csr_matrix:
    """Neighbours (int32[n, k], -1: none) and their values as a sparse matrix: float32[n, columns]."""
    found = indices >= 0
    indptr = np.concatenate([[0], np.cumsum(found.sum(axis=1))])
    return sparse.csr_matrix((values[found], indices[found], indptr), shape=(len(indices), columns))


def popularity_discount(counts: NDArray[np.int64], exponent: float) -> NDArray[np.float32]:
    """Factor of each item, float32: its number of users to the power of -exponent, 1 for items without any."""
    return (np.maximum(counts, 1).astype(np.float64) ** -exponent).astype(np.float32)


def _best(indices: NDArray[np.int32], values: NDArray[np.float32], k: int) -> Found:
    """The k highest values above zero of each row."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    found = np.full((len(indices), k), -1, np.int32)
    similarity = np.zeros((len(indices), k), np.float32)
    similarity[:, : order.shape[1]] = np.take_along_axis(values, order, axis=1)
    found[:, : order.shape[1]] = np.take_along_axis(indices, order, axis=1)
    found[similarity <= 0] = -1
    return found, similarity
