"""Drawn items are never seen ones, and all unseen ones alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recstage.data import negatives
from recstage.data.dataset import Dataset
from recstage.data.negatives import NegativeSampler, sample


@pytest.fixture(params=["bitmap", "search"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "search":
        monkeypatch.setattr(negatives, "CELLS_OF_BITMAP", 0)
    return request.param


def matrix_of(rows: list[list[int]]) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.array(rows, dtype=bool))


def test_seen_pairs_are_known(either_way: str) -> None:
    seen = np.random.default_rng(0).random((13, 17)) < 0.4
    sampler = NegativeSampler(sparse.csr_matrix(seen))

    assert np.array_equal(sampler.is_seen(np.arange(13)[:, None], np.arange(17)[None]), seen)


def test_negatives_are_never_seen(either_way: str, small_dataset: Dataset) -> None:
    train = small_dataset.split.train
    drawn = sample(train, 4, np.random.default_rng(0))

    assert drawn.shape == (len(train), 4)
    seen = train.all_users.seen.toarray()
    assert not seen[np.repeat(train.user_index, 4), drawn.ravel()].any()


def test_dismissed_items_are_seen_too() -> None:
    sampler = NegativeSampler(matrix_of([[1, 0, 1, 1]]))

    assert sampler.sample([0] * 50, 2, np.random.default_rng(0)).tolist() == [[1, 1]] * 50


def test_all_unseen_items_come_up_alike() -> None:
    sampler = NegativeSampler(matrix_of([[0, 1, 0, 0, 1, 0]]))

    counts = np.bincount(sampler.sample(np.zeros(4000, int), 1, np.random.default_rng(0)).ravel(), minlength=6)

    assert counts[[1, 4]].sum() == 0
    assert np.abs(counts[[0, 2, 3, 5]] - 1000).max() < 120  # four standard deviations


def test_who_has_seen_everything_gets_none(either_way: str) -> None:
    sampler = NegativeSampler(matrix_of([[1, 1, 1], [1, 0, 1]]))

    assert sampler.sample([0, 1], 2, np.random.default_rng(0)).tolist() == [[-1, -1], [1, 1]]
    assert sampler.sample_distinct([0, 1], 2, np.random.default_rng(0)).tolist() == [[-1, -1], [1, -1]]


@pytest.mark.parametrize("n", [1, 7, 99])
def test_distinct_negatives_are_distinct_and_unseen(either_way: str, n: int) -> None:
    seen = np.random.default_rng(1).random((40, 300)) < 0.3
    seen[0] = True
    seen[1, 5:] = True
    drawn = NegativeSampler(sparse.csr_matrix(seen)).sample_distinct(np.arange(40), n, np.random.default_rng(2))

    assert drawn.shape == (40, n)
    for user, row in enumerate(drawn):
        items = row[row >= 0]
        assert len(items) == min(n, int((~seen[user]).sum()))
        assert len(set(items)) == len(items)
        assert not seen[user, items].any()


def test_distinct_negatives_are_alike_too() -> None:
    seen = np.zeros((3000, 40), bool)
    seen[:, :10] = True
    drawn = NegativeSampler(sparse.csr_matrix(seen)).sample_distinct(np.arange(3000), 3, np.random.default_rng(3))

    counts = np.bincount(drawn.ravel(), minlength=40)
    assert counts[:10].sum() == 0
    assert np.abs(counts[10:] - 300).max() < 80  # more than four standard deviations


def test_the_same_seed_draws_the_same() -> None:
    seen = matrix_of([[1, 0, 0, 0], [0, 0, 1, 0]])

    first, second = (sample(seen, 8, np.random.default_rng(5)) for _ in range(2))

    assert np.array_equal(first, second)


def test_nothing_seen_at_all_is_no_obstacle(either_way: str) -> None:
    sampler = NegativeSampler(sparse.csr_matrix((2, 3), dtype=bool))

    assert (sampler.sample([0, 1], 5, np.random.default_rng(0)) >= 0).all()
