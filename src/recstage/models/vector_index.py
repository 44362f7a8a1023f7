"""An approximate index of item vectors for large catalogues, by FAISS, an extra: `pip install recstage[faiss]`.

Inverted lists (Jégou et al. 2011, https://faiss.ai): vectors are grouped by nearest centroid and a query searches only
the groups with the nearest centroids. `recall_of` measures the share of the exact results that it finds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.errors import ConfigError
from recstage.models.ranking import top_k

LISTS_PER_ROOT = 4  # lists = 4 * sqrt(vectors), as FAISS's guide advises
SHARE_PROBED = 0.08
SEED = 1234


class VectorIndex:
    """Searches vectors (float32[n, d]) for the highest dot products."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        faiss = _faiss()
        self.vectors = np.ascontiguousarray(vectors, np.float32)
        n, d = self.vectors.shape
        lists = max(1, min(int(LISTS_PER_ROOT * np.sqrt(n)), n // 40))
        self._index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, lists, faiss.METRIC_INNER_PRODUCT)
        self._index.cp.seed = SEED
        self._index.train(self.vectors)
        self._index.add(self.vectors)
        self._index.nprobe = max(1, round(lists * SHARE_PROBED))

    def search(
        self, queries: NDArray[np.float32], k: int, excluded: sparse.csr_matrix | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """`top_k` of `queries @ vectors.T` without those that `excluded` (bool[n, n_vectors]) marks, approximately.

        Returns int32[n, k] padded with -1, float32[n, k]. Queries are searched exactly if the probed lists hold fewer
        than k results for them.
        """
        rows = np.zeros(len(queries), np.int64) if excluded is None else np.diff(excluded.indptr)
        # FAISS knows no exclusions: ask for as many more as the longest row may lose
        width = min(len(self.vectors), k + int(rows.max(initial=0)))
        scores, found = self._index.search(np.ascontiguousarray(queries, np.float32), width)
        scores[found < 0] = -np.inf
        if excluded is not None:
            for row in np.flatnonzero(rows):
                hidden = excluded.indices[excluded.indptr[row] : excluded.indptr[row + 1]]
                scores[row, np.isin(found[row], hidden)] = -np.inf
        # in the order of the items, so that `top_k` breaks ties as everywhere else
        order = np.argsort(found, axis=1)
        found, scores = np.take_along_axis(found, order, axis=1), np.take_along_axis(scores, order, axis=1)
        columns, values = top_k(scores, k)
        items = np.where(columns >= 0, np.take_along_axis(found, np.maximum(columns, 0), axis=1), -1).astype(np.int32)
        short = np.flatnonzero((items >= 0).sum(axis=1) < np.minimum(k, len(self.vectors) - rows))
        for row in short:
            exact = queries[row : row + 1] @ self.vectors.T
            if excluded is not None:
                exact[0, excluded.indices[excluded.indptr[row] : excluded.indptr[row + 1]]] = -np.inf
            items[row : row + 1], values[row : row + 1] = top_k(exact, k)
        return items, values

    def recall_of(self, queries: NDArray[np.float32], k: int) -> float:
        """Recall@k of the search against the exact results, mean over the queries (float32[n, d])."""
        exact, _ = top_k(queries @ self.vectors.T, k)
        found, _ = self.search(queries, k)
        return float(np.mean([np.isin(a, b).mean() for a, b in zip(exact, found, strict=True)]))


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ConfigError(
            "index = 'faiss'",
            rule="FAISS is not installed",
            fix="pip install 'recstage[faiss]', or use index = 'exact'",
        ) from error
    return faiss
