"""An approximate index of item vectors for large catalogues, by FAISS, an extra: `pip install recstage[faiss]`.

Inverted lists (Jégou et al. 2011, https://faiss.ai): vectors are grouped by the centroid with the highest dot product,
and a query searches only the groups whose centroids are best for it, in eight bits a number. What is found is scored
again from the vectors themselves, so that scores are those of exact search. The number of groups that are searched is
chosen when the index is built, for a recall against exact search, and that recall is measured on other queries.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.errors import ConfigError
from recstage.models.ranking import chunks, mask_excluded, top_k
from recstage.models.vectors.targets import Targets

log = logging.getLogger(__name__)

LISTS_PER_ROOT = 4  # lists = 4 * sqrt(vectors), as FAISS's guide advises
POINTS_A_LIST = 40
"""Vectors a list that k-means learns from: more cost time and find nothing better."""
DEPTH = 100
"""Recall is measured at this length of a list."""
AIM = 0.98
"""Recall at which the search of further groups ends."""
EXACT_BELOW, EXACT_SHARE = 32_768, 1 / 8
"""Where exclusions leave so few vectors, and so small a share of all, they are all compared."""
OVER_FETCHED = 512
"""Excluded vectors of a query up to which the index is asked for as many more; of more it is told the mask."""
MOST_FARTHER = 2.0
"""So many times the groups are searched at most where the excluded vectors may be the best ones."""
SEED = 1234


class VectorIndex:
    """Searches vectors for the highest dot products.

    `blob` is FAISS's own form of the index, uint8[bytes]: it is read in place, so that processes that map the same
    bundle share it. `recall` is the share of the exact `DEPTH` best that a search finds, as measured by `build`, where
    `hidden` vectors were left out of a list on average.
    """

    def __init__(self, targets: Targets, blob: NDArray[np.uint8], recall: float, hidden: float) -> None:
        faiss = _faiss()
        self.targets, self.recall, self.hidden = targets, recall, hidden
        self._blob = blob  # FAISS reads from it as long as the index lives
        self._index = faiss.read_index(faiss.ZeroCopyIOReader(faiss.swig_ptr(blob), blob.nbytes))

    @classmethod
    def build(
        cls,
        targets: Targets,
        queries: NDArray[np.float32],
        seen: sparse.csr_matrix | None = None,
        seed: int = SEED,
    ) -> Self:
        """Group the vectors, and choose on half of the `queries` (float32[n, d]) how many groups are searched; the
        recall is that of the other half. Vectors that `seen` (bool[n, n_vectors]) marks are left out, as in lists."""
        faiss = _faiss()
        began = perf_counter()
        vectors = targets.all()
        n, d = vectors.shape
        lists = max(1, min(int(LISTS_PER_ROOT * np.sqrt(n)), n // 40))
        index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(d), d, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        index.cp.seed, index.cp.max_points_per_centroid = seed, POINTS_A_LIST
        index.train(vectors)
        index.add(vectors)
        hidden = np.zeros(len(queries)) if seen is None else np.diff(seen.indptr)
        more = int(min(OVER_FETCHED, hidden.max(initial=0)))
        trial = cls(targets, faiss.serialize_index(index), 0.0, float(hidden.mean()))
        depth = min(DEPTH, n)
        truth = _exact(vectors, queries, depth, seen)
        tuned, measured = (slice(0, None, 2), slice(1, None, 2)) if len(queries) > 1 else (slice(0, 1), slice(0, 1))
        trial._probe(queries[tuned], truth[tuned], more)
        recall = trial._recall(queries[measured], truth[measured], more)
        found = cls(targets, faiss.serialize_index(trial._index), recall, trial.hidden)
        log.info(
            "%d vectors in %d groups, %d searched: recall@%d %.4f of exact search; %.0f s, %.0f MB",
            *(n, lists, found.probed, depth, found.recall, perf_counter() - began, found._blob.nbytes / 1e6),
        )
        return found

    def state(self) -> dict[str, NDArray]:
        """What `from_state` makes the index of again."""
        return {"index": self._blob, "index_recall": np.array(self.recall), "index_hidden": np.array(self.hidden)}

    @classmethod
    def from_state(cls, targets: Targets, state: Mapping[str, NDArray]) -> Self:
        """The index of `state`. Raises `ConfigError` without FAISS, `ValueError` where it is of other vectors."""
        found = cls(targets, state["index"], float(state["index_recall"]), float(state.get("index_hidden", 0)))
        if (found._index.ntotal, found._index.d) != targets.vectors.shape:
            raise ValueError(f"an index of {found._index.ntotal} vectors for {len(targets.vectors)}")
        return found

    @property
    def probed(self) -> int:
        """How many groups a query searches."""
        return int(self._index.nprobe)

    @property
    def groups(self) -> int:
        """How many groups the vectors are in."""
        return int(self._index.nlist)

    def search(
        self, queries: NDArray[np.float32], k: int, excluded: sparse.csr_matrix | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """`top_k` of `targets.scores(queries)` without those that `excluded` (bool[n, n_vectors]) marks, approximately.

        Returns int32[n, k] padded with -1, float32[n, k] padded with -inf. A list is full wherever enough vectors are
        left: queries for which the searched groups hold fewer than k are searched exactly.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        items = np.full((len(queries), k), -1, np.int32)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        hidden = np.zeros(len(queries), np.int64) if excluded is None else np.diff(excluded.indptr)
        left = len(self.targets) - hidden
        few = left <= min(EXACT_BELOW, EXACT_SHARE * len(self.targets))
        alone = few | (hidden > OVER_FETCHED)
        # rows that lose about as many are asked for about as many more
        classes = np.where(alone, -1, np.ceil(np.log2(hidden + 1)))
        for one in np.unique(classes[~alone]):
            rows = np.flatnonzero(classes == one)
            self._over_fetch(queries, k, rows, int(hidden[rows].max()), excluded, items, scores)
        for row in np.flatnonzero(alone).tolist():
            columns = _columns(excluded, row)
            one_list = self._exactly if few[row] else self._masked
            items[row], scores[row] = one_list(queries[row], k, columns)
        for row in np.flatnonzero((items >= 0).sum(axis=1) < np.minimum(k, left)).tolist():
            items[row], scores[row] = self._exactly(queries[row], k, _columns(excluded, row))
        return items, scores

    def _over_fetch(
        self,
        queries: NDArray[np.float32],
        k: int,
        rows: NDArray[np.int64],
        more: int,
        excluded: sparse.csr_matrix | None,
        items: NDArray[np.int32],
        scores: NDArray[np.float32],
    ) -> None:
        """Write the lists of `rows`, found with `more` places than `k`, into `items` and `scores`."""
        width = min(len(self.targets), _with_margin(k) + more)
        within = _faiss().SearchParametersIVF(nprobe=self._probed_without(more))
        found = self._index.search(queries[rows], width, params=within)[1]
        for row, candidates in zip(rows, found, strict=True):
            if more:
                columns = _columns(excluded, row)
                if len(columns):
                    candidates = candidates[~np.isin(candidates, columns)]
            items[row], scores[row] = self._best(queries[row], k, candidates)

    def _masked(
        self, query: NDArray[np.float32], k: int, hidden: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """One list where many vectors are left out: the index skips them."""
        faiss = _faiss()
        n = len(self.targets)
        kept = np.ones(n, bool)
        kept[hidden] = False
        bits = np.packbits(kept, bitorder="little")
        within = faiss.SearchParametersIVF(
            sel=faiss.IDSelectorBitmap(n, faiss.swig_ptr(bits)), nprobe=self._probed_without(len(hidden))
        )
        return self._best(query, k, self._index.search(query[None], _with_margin(k), params=within)[1][0])

    def _probed_without(self, hidden: int) -> int:
        """How many groups are searched where so many vectors are left out: more than on average they may be just the
        best ones, so that what is left lies farther away, or so many that it lies thinner."""
        farther = np.clip(np.cbrt((DEPTH + hidden) / (DEPTH + self.hidden)), 1.0, MOST_FARTHER)
        thinner = len(self.targets) / (len(self.targets) - hidden)
        return min(self.groups, int(np.ceil(self.probed * max(farther, thinner))))

    def _best(
        self, query: NDArray[np.float32], k: int, candidates: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The best of what was found, by their exact scores: int32[k], float32[k]."""
        # in the order of the items, so that `top_k` breaks ties as everywhere else
        pool = np.sort(candidates[candidates >= 0]).astype(np.int32)
        places, values = top_k(self.targets.scores(query, pool)[None], k)
        return _at(pool, places[0]), values[0]

    def _exactly(
        self, query: NDArray[np.float32], k: int, hidden: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """One list by comparing every vector that is left."""
        kept = np.ones(len(self.targets), bool)
        kept[hidden] = False
        return self._best(query, k, np.flatnonzero(kept))

    def _probe(self, queries: NDArray[np.float32], truth: NDArray[np.int32], more: int) -> None:
        """Set the least number of groups with a recall of `AIM`."""
        low, self._index.nprobe = 0, 1
        while self._recall(queries, truth, more) < AIM and self.probed < self.groups:
            low, self._index.nprobe = self.probed, min(self.groups, 2 * self.probed)
        high = self.probed
        while high - low > max(1, high // 32):
            self._index.nprobe = (low + high) // 2
            low, high = (low, self.probed) if self._recall(queries, truth, more) >= AIM else (self.probed, high)
        self._index.nprobe = high

    def _recall(self, queries: NDArray[np.float32], truth: NDArray[np.int32], more: int) -> float:
        """The share of `truth` that the searched groups give, asked for `more`: exact scores choose the best of it."""
        width = min(len(self.targets), _with_margin(truth.shape[1]) + more)
        found = self._index.search(np.ascontiguousarray(queries, np.float32), width)[1]
        row = np.arange(len(queries))[:, None] * len(self.targets)
        return float(np.isin((truth + row)[truth >= 0], np.where(found >= 0, found + row, -1)).mean())


def _exact(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int, seen: sparse.csr_matrix | None
) -> NDArray[np.int32]:
    parts = []
    for rows in chunks(len(queries), len(vectors)):
        scores = queries[rows] @ vectors.T
        parts.append(top_k(mask_excluded(scores, None if seen is None else seen[rows]), k)[0])
    return np.concatenate(parts)


def _columns(excluded: sparse.csr_matrix | None, row: int) -> NDArray[np.int32]:
    if excluded is None:
        return np.empty(0, np.int32)
    return excluded.indices[excluded.indptr[row] : excluded.indptr[row + 1]]


def _with_margin(k: int) -> int:
    """Places to ask for: near the end of a list, eight bits a number may put one vector before another."""
    return k + k // 4 + 8


def _at(pool: NDArray[np.int32], places: NDArray[np.int32]) -> NDArray[np.int32]:
    if not len(pool):
        return places
    return np.where(places >= 0, pool[np.maximum(places, 0)], -1).astype(np.int32)


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
