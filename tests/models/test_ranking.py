"""The best k of each row: against a stable sort, for every way in which scores can be equal."""

import numpy as np
import pytest

from recstage.models import ranking
from recstage.models.ranking import top_k

RANDOM = np.random.default_rng(0)
N, M = 40, 1500
NORMAL = RANDOM.normal(size=(N, M)).astype(np.float32)
SCORES = {
    "distinct": NORMAL,
    "a third masked": np.where(RANDOM.random((N, M)) < 0.33, -np.inf, NORMAL),
    "nearly all masked": np.where(RANDOM.random((N, M)) < 0.995, -np.inf, NORMAL),
    "all masked": np.full((N, M), -np.inf),
    "mostly zero": np.where(RANDOM.random((N, M)) < 0.99, 0, np.abs(NORMAL)),
    "whole numbers": np.floor(5 * NORMAL),
    "constant": np.zeros((N, M)),
    "falling": -np.sort(-NORMAL, axis=1),
    "rising": np.sort(NORMAL, axis=1),
    "the best side by side": np.where(np.arange(M) // 30 == 7, NORMAL + 50, NORMAL),
    "with infinities": np.where(RANDOM.random((N, M)) < 0.01, np.inf, NORMAL),
    "negative and tiny": -1e-30 * np.abs(NORMAL),
}


def slowly(scores, k):
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(scores, order, axis=1)
    return np.where(values > -np.inf, order, -1), values


@pytest.mark.parametrize("k", [1, 10, 100, 1499, 1500])
@pytest.mark.parametrize("kind", SCORES)
def test_the_best_come_in_the_order_of_a_stable_sort(kind, k):
    scores = SCORES[kind].astype(np.float32)
    columns, values = top_k(scores, k)
    expected = slowly(scores, k)
    assert (columns == expected[0]).all()
    assert (values == expected[1]).all()
    assert (columns.dtype, values.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize("k", [1, 10, 100, 1500])
@pytest.mark.parametrize("kind", SCORES)
def test_one_row_gives_what_it_gives_among_others(kind, k):
    scores = SCORES[kind][:20].astype(np.float32)
    scores[::5, ::7] = np.nan
    together = top_k(scores, k)
    for row in range(len(scores)):
        columns, values = top_k(scores[row : row + 1], k)
        assert (columns == together[0][row]).all()
        assert (values == together[1][row]).all()


@pytest.mark.parametrize("m", [1, 2, 3, 39, 40, 41, 79, 80, 81, 127, 128, 129, 400, 777])
def test_every_width_of_catalogue_is_covered_to_its_last_column(m):
    scores = np.zeros((2 * m, m), np.float32)
    scores[np.arange(m), np.arange(m)] = 1  # each column is the best of one row
    scores[m:] = RANDOM.normal(size=(m, m))
    columns, _ = top_k(scores, min(10, m))
    assert (columns == slowly(scores, min(10, m))[0]).all()


def test_tiles_do_not_mix_rows(monkeypatch):
    monkeypatch.setattr(ranking, "TILE", 4000)
    assert (top_k(NORMAL, 10)[0] == slowly(NORMAL, 10)[0]).all()


def test_a_score_that_is_no_number_is_never_chosen():
    scores = np.array([[np.nan, 2, np.nan, 1]], np.float32)
    assert top_k(scores, 3)[0].tolist() == [[1, 3, -1]]
    wide = np.where(RANDOM.random((N, M)) < 0.5, np.nan, NORMAL).astype(np.float32)
    assert (top_k(wide, 10)[0] == slowly(np.where(np.isnan(wide), -np.inf, wide), 10)[0]).all()
    crowded = np.where(np.isnan(wide), wide, 7).astype(np.float32)
    assert (top_k(crowded, 10)[0] == slowly(np.where(np.isnan(wide), -np.inf, 7), 10)[0]).all()


def test_a_list_longer_than_the_catalogue_is_padded():
    columns, values = top_k(np.array([[1, 2]], np.float32), 4)
    assert columns.tolist() == [[1, 0, -1, -1]]
    assert values.tolist() == [[2, 1, -np.inf, -np.inf]]


@pytest.mark.parametrize("shape", [(0, 5), (3, 0)])
def test_without_users_or_items_lists_are_empty(shape):
    columns, values = top_k(np.zeros(shape, np.float32), 2)
    assert columns.shape == values.shape == (shape[0], 2)
    assert (columns == -1).all()
