"""Maximal marginal relevance: known answers, and the rules for ties, gaps and unknown items."""

import numpy as np
import pytest

from recstage import rerank
from recstage.data.catalogue import Catalogue
from recstage.errors import ConfigError, DataError
from recstage.rerank import mmr, mmr_grid, source_of, unit_rows, vectors_of

# two films alike, and one of another kind that is a little less relevant
ALIKE = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
ITEMS = np.array([[0, 1, 2]], np.int32)
SCORES = np.array([[1.0, 0.9, 0.5]], np.float32)


def slowly(items, scores, vectors, k, lambda_):
    """One list, as the paper reads."""
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    chosen = []
    while len(chosen) < min(k, len(items)):
        left = [p for p in range(len(items)) if p not in chosen]
        closeness = [max((vectors[items[p]] @ vectors[items[q]] for q in chosen), default=0) for p in left]
        worth = [lambda_ * relevance[p] - (1 - lambda_) * c for p, c in zip(left, closeness, strict=True)]
        chosen.append(left[int(np.argmax(worth))])
    return items[chosen].tolist()


@pytest.fixture
def candidates():
    random = np.random.default_rng(0)
    items = np.argsort(random.random((20, 80)), axis=1)[:, :30].astype(np.int32)
    scores = -np.sort(-random.normal(size=(20, 30)).astype(np.float32), axis=1)
    return items, scores, unit_rows(random.normal(size=(80, 6)).astype(np.float32))


def test_the_second_of_a_kind_gives_way_to_something_else():
    items, scores = mmr(ITEMS, SCORES, ALIKE, 3, 0.5)
    assert items.tolist() == [[0, 2, 1]]
    assert scores == pytest.approx(np.array([[1.0, 0.5, 0.9]]))


def test_where_relevance_weighs_enough_it_does_not():
    # the relevances are 1, .8 and 0: the second of a kind is worth .8 lambda - (1 - lambda), the other nothing
    assert mmr(ITEMS, SCORES, ALIKE, 3, 0.6)[0].tolist() == [[0, 1, 2]]
    assert mmr(ITEMS, SCORES, ALIKE, 3, 0.5)[0].tolist() == [[0, 2, 1]]


@pytest.mark.parametrize("shift", [0.0, -40.0, 1000.0])
def test_scores_are_normalised_so_that_their_scale_does_not_matter(candidates, shift):
    items, scores, vectors = candidates
    assert (
        mmr(items, 3 * scores + shift, vectors, 10, 0.6)[0].tolist() == mmr(items, scores, vectors, 10, 0.6)[0].tolist()
    )


@pytest.mark.parametrize("lambda_", [0.0, 0.3, 0.7, 0.95])
def test_lists_are_those_of_the_definition(candidates, lambda_):
    items, scores, vectors = candidates
    found, _ = mmr(items, scores, vectors, 10, lambda_)
    expected = [slowly(*row, vectors, 10, lambda_) for row in zip(items, scores, strict=True)]
    assert found.tolist() == expected


def test_the_scores_returned_are_those_of_the_items_returned(candidates):
    items, scores, vectors = candidates
    found, values = mmr(items, scores, vectors, 10, 0.5)
    for row in range(len(items)):
        score_of = dict(zip(items[row], scores[row], strict=True))
        assert values[row].tolist() == [score_of[item] for item in found[row]]


def test_lambda_one_is_the_order_of_the_candidates_ties_included(candidates):
    items, scores, vectors = candidates
    assert (mmr(items, np.round(scores), vectors, 10, 1.0)[0] == items[:, :10]).all()


def test_constant_scores_keep_the_first_and_then_seek_variety():
    assert mmr(ITEMS, np.ones((1, 3), np.float32), ALIKE, 3)[0].tolist() == [[0, 2, 1]]


def test_more_than_there_is_ends_with_empty_places():
    items, scores = mmr(np.array([[1, 0, -1]], np.int32), np.array([[2, 1, -np.inf]], np.float32), ALIKE, 4)
    assert items.tolist() == [[1, 0, -1, -1]]
    assert scores.tolist() == [[2, 1, -np.inf, -np.inf]]


def test_a_row_without_candidates_stays_empty():
    items, _ = mmr(np.array([[-1, -1], [0, 2]], np.int32), np.array([[-np.inf] * 2, [2, 1]], np.float32), ALIKE, 2)
    assert items.tolist() == [[-1, -1], [0, 2]]


def test_an_unknown_item_is_no_stranger_than_the_others_are_on_average():
    # apart from the best, candidates with cosines .8 and 0 and one unknown: taken for the mean of all three known, .6
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 0], [0, 1]], np.float32)
    items = np.array([[0, 1, 2, 3]], np.int32)
    scores = np.array([[1, 0.5, 0.5, 0]], np.float32)
    assert mmr(items, scores, vectors, 2, 0.6)[0].tolist() == [[0, 2]]  # .3 - .4 x .6 is above .3 - .4 x .8 and 0
    assert mmr(items, scores, vectors, 2, 0.2)[0].tolist() == [[0, 3]]  # .1 - .8 x .6 is below 0


def test_a_batch_is_its_rows_one_by_one(candidates, monkeypatch):
    items, scores, vectors = candidates
    whole = mmr(items, scores, vectors, 10)[0]
    single = [mmr(items[i : i + 1], scores[i : i + 1], vectors, 10)[0][0].tolist() for i in range(len(items))]
    assert whole.tolist() == single
    monkeypatch.setattr(rerank, "FLOATS_AT_ONCE", 1000)
    assert mmr(items, scores, vectors, 10)[0].tolist() == single


def test_a_grid_of_lambdas_is_each_of_them(candidates):
    items, scores, vectors = candidates
    vectors[::7] = 0
    items[3, 20:], scores[3, 20:] = -1, -np.inf
    grid = mmr_grid(items, scores, vectors, 25, [0.2, 0.7, 1.0])
    for lists, lambda_ in zip(grid, [0.2, 0.7, 1.0], strict=True):
        assert lists.tolist() == mmr(items, scores, vectors, 25, lambda_)[0].tolist()


@pytest.mark.parametrize("lambda_", [-0.1, 1.5])
def test_a_lambda_outside_of_zero_to_one_is_refused(lambda_):
    with pytest.raises(ConfigError, match=rf"lambda = {lambda_}: MMR's lambda is between 0 .* and 1"):
        mmr(ITEMS, SCORES, ALIKE, 2, lambda_)
    with pytest.raises(ConfigError):
        mmr_grid(ITEMS, SCORES, ALIKE, 2, [0.5, lambda_])


def test_a_list_of_nothing_is_refused():
    with pytest.raises(DataError, match="k=0: a list has at least one item"):
        mmr(ITEMS, SCORES, ALIKE, 0)


def test_items_are_alike_by_category_else_by_the_model_else_by_who_liked_them(interactions, written):
    train = interactions(3, 2, [(0, 0), (1, 0), (2, 1)])
    model = written(np.zeros((3, 2)), train)
    assert source_of(model) == vectors_of(model).source == "co-occurrence"
    model.vectors = np.array([[3, 4], [0, 0]], np.float32)
    space = vectors_of(model)
    assert (space.source, space.vectors.tolist()) == (
        "item vectors",
        [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]],
    )
    empty = Catalogue.empty(train.items)
    model.catalogue_ = Catalogue(train.items, empty.titles, empty.texts, [("a", "b"), ("b",)], empty.available)
    space = vectors_of(model)
    assert (space.source, space.vectors[1].tolist()) == ("categories", [0, 1])
    assert vectors_of(model, empty).source == "item vectors"


def test_sketches_keep_the_cosines_of_co_occurrence(interactions, written):
    liked = np.random.default_rng(0).random((400, 40)) < np.linspace(0.05, 0.6, 40)
    train = interactions(400, 41, np.argwhere(liked))
    vectors = vectors_of(written(np.zeros((400, 41)), train)).vectors
    exact = unit_rows(liked.T.astype(np.float32))
    assert np.abs(vectors[:40] @ vectors[:40].T - exact @ exact.T).max() < 0.3
    assert np.abs(vectors[:40] @ vectors[:40].T - exact @ exact.T).mean() < 0.06
    assert not vectors[40].any()
