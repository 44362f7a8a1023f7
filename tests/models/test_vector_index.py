"""The approximate index: what it finds, what it leaves out, and the error without FAISS."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import sparse

from recstage.errors import ConfigError
from recstage.models.ranking import top_k
from recstage.models.vector_index import VectorIndex


def clustered(n: int, rng: np.random.Generator) -> np.ndarray:
    centres = rng.normal(size=(60, 16))
    return (centres[rng.integers(60, size=n)] + 0.5 * rng.normal(size=(n, 16))).astype(np.float32)


@pytest.fixture(scope="module")
def index() -> VectorIndex:
    pytest.importorskip("faiss", reason="FAISS is an extra: pip install recstage[faiss]")
    return VectorIndex(clustered(20_000, np.random.default_rng(0)))


def test_nine_of_ten_best_are_found(index: VectorIndex) -> None:
    assert index.recall_of(clustered(200, np.random.default_rng(1)), 10) > 0.9


def test_blocked_vectors_are_never_returned_and_scores_are_exact(index: VectorIndex) -> None:
    queries = clustered(20, np.random.default_rng(2))
    best, _ = top_k(queries @ index.vectors.T, 30)
    excluded = sparse.csr_matrix((np.ones(600, bool), best.ravel(), np.arange(21) * 30), shape=(20, 20_000))
    items, scores = index.search(queries, 10, excluded)
    for row in range(20):
        assert not set(items[row]) & set(best[row])
        np.testing.assert_allclose(scores[row], queries[row] @ index.vectors[items[row]].T, rtol=1e-5)
        assert (np.diff(scores[row]) <= 0).all()


def test_a_query_with_nearly_everything_blocked_is_searched_exactly(index: VectorIndex) -> None:
    queries = clustered(1, np.random.default_rng(3))
    open_items = np.array([5, 19_000, 12_345])
    rest = np.setdiff1d(np.arange(20_000), open_items)
    excluded = sparse.csr_matrix((np.ones(len(rest), bool), rest, [0, len(rest)]), shape=(1, 20_000))
    items, _ = index.search(queries, 5, excluded)
    expected = open_items[np.argsort(-(index.vectors[open_items] @ queries[0]))]
    assert items[0].tolist() == [*expected, -1, -1]


def test_without_faiss_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"FAISS is not installed\. pip install 'recstage\[faiss\]'"):
        VectorIndex(np.zeros((100, 4), np.float32))
