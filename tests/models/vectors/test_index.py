"""The approximate index: what it finds, what it leaves out, what it keeps, and the error without FAISS."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import sparse

from recstage.errors import ConfigError
from recstage.models.ranking import top_k
from recstage.models.vectors import index as index_module
from recstage.models.vectors.index import AIM, VectorIndex
from recstage.models.vectors.targets import Targets

N, K = 20_000, 10
EXTRA = "FAISS is an extra: pip install recstage[faiss]"


def clustered(n: int, rng: np.random.Generator) -> np.ndarray:
    centres = np.random.default_rng(9).normal(size=(60, 16))
    return (centres[rng.integers(60, size=n)] + 0.5 * rng.normal(size=(n, 16))).astype(np.float32)


@pytest.fixture(scope="module")
def index() -> VectorIndex:
    pytest.importorskip("faiss", reason=EXTRA)
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(0, 0.3, N).astype(np.float32)
    return VectorIndex.build(Targets(clustered(N, rng), lengths), clustered(200, rng))


def hiding(columns: list[np.ndarray]) -> sparse.csr_matrix:
    indptr = np.concatenate([[0], np.cumsum([len(one) for one in columns])])
    rows = np.concatenate([np.sort(one) for one in columns])
    return sparse.csr_matrix((np.ones(len(rows), bool), rows, indptr), shape=(len(columns), N))


def exact(index: VectorIndex, queries: np.ndarray, excluded: sparse.csr_matrix, k: int) -> np.ndarray:
    scores = queries @ index.targets.all().T
    scores[excluded.nonzero()] = -np.inf
    return top_k(scores, k)[0]


def test_the_recall_that_was_measured_holds_for_other_queries(index: VectorIndex) -> None:
    queries = clustered(200, np.random.default_rng(1))
    truth, found = top_k(queries @ index.targets.all().T, 100)[0], index.search(queries, 100)[0]
    recall = np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)])
    assert recall == pytest.approx(index.recall, abs=0.02)
    assert index.recall > AIM - 0.02
    assert index.probed < index.groups / 3, "most of the vectors were not compared"


@pytest.mark.parametrize("hidden", [0, 30, index_module.OVER_FETCHED + 1, 19_000, N - 5])
def test_lists_are_full_of_what_is_not_excluded_with_exact_scores(index: VectorIndex, hidden: int) -> None:
    queries = clustered(20, np.random.default_rng(2))
    best = top_k(queries @ index.targets.all().T, hidden)[0] if hidden else np.empty((20, 0), np.int32)
    excluded = hiding(list(best))
    items, scores = index.search(queries, K, excluded)
    truth = exact(index, queries, excluded, K)
    assert np.array_equal(items >= 0, truth >= 0)
    for row in range(20):
        real = items[row][items[row] >= 0]
        assert not set(real) & set(best[row])
        assert len(set(real)) == len(real)
        np.testing.assert_allclose(scores[row][: len(real)], index.targets.scores(queries[row], real), rtol=1e-5)
        assert (np.diff(scores[row][: len(real)]) <= 0).all()
    assert np.mean([np.isin(a, b).mean() for a, b in zip(truth, items, strict=True)]) > 0.9


def test_rows_that_lose_nothing_little_and_much_are_answered_in_one_batch(index: VectorIndex) -> None:
    queries = clustered(4, np.random.default_rng(3))
    rng = np.random.default_rng(4)
    excluded = hiding([rng.choice(N, size, replace=False) for size in (0, 7, 3_000, N - 3)])
    together = index.search(queries, K, excluded)
    for row in range(4):
        alone = index.search(queries[row : row + 1], K, excluded[row])
        np.testing.assert_array_equal(together[0][row], alone[0][0])
        np.testing.assert_allclose(together[1][row], alone[1][0], rtol=1e-6)
    assert (together[0][3] >= 0).sum() == 3


def test_a_longer_list_than_the_searched_groups_hold_is_searched_exactly(index: VectorIndex) -> None:
    queries = clustered(2, np.random.default_rng(5))
    items, _ = index.search(queries, N)
    np.testing.assert_array_equal(np.sort(items, axis=1), np.tile(np.arange(N), (2, 1)))


def test_an_index_is_read_in_place_from_read_only_arrays(index: VectorIndex) -> None:
    state = {name: value.copy() for name, value in index.state().items()}
    for value in state.values():
        value.flags.writeable = False
    again = VectorIndex.from_state(index.targets, state)
    queries = clustered(20, np.random.default_rng(6))
    np.testing.assert_array_equal(index.search(queries, K)[0], again.search(queries, K)[0])
    assert (again.recall, again.probed) == (index.recall, index.probed)


def test_an_index_of_other_vectors_is_refused(index: VectorIndex) -> None:
    with pytest.raises(ValueError, match="an index of 20000 vectors for 7"):
        VectorIndex.from_state(Targets(clustered(7, np.random.default_rng(0))), index.state())


def test_the_recall_is_measured_without_what_was_seen() -> None:
    pytest.importorskip("faiss", reason=EXTRA)
    rng = np.random.default_rng(7)
    targets, queries = Targets(clustered(N, rng)), clustered(120, rng)
    seen = hiding(list(top_k(queries @ targets.all().T, 300)[0]))
    found, plain = VectorIndex.build(targets, queries[:80], seen[:80]), VectorIndex.build(targets, queries[:80])
    assert found.hidden == 300
    assert found.probed > plain.probed, "what is left lies farther away"
    truth, items = exact(found, queries[80:], seen[80:], 100), found.search(queries[80:], 100, seen[80:])[0]
    assert np.mean([np.isin(a, b).mean() for a, b in zip(truth, items, strict=True)]) > AIM - 0.02


def test_one_query_is_enough_to_build_and_equal_scores_keep_the_order_of_the_items() -> None:
    pytest.importorskip("faiss", reason=EXTRA)
    found = VectorIndex.build(Targets(np.ones((50, 4), np.float32)), np.ones((1, 4), np.float32))
    assert found.search(np.ones((1, 4), np.float32), 3)[0].tolist() == [[0, 1, 2]]


def test_without_faiss_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"FAISS is not installed\. pip install 'recstage\[faiss\]'"):
        VectorIndex.build(Targets(np.zeros((100, 4), np.float32)), np.zeros((2, 4), np.float32))
