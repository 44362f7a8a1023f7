"""EASE: answers known by hand, and weights as the papers' formulas say, written out densely."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy import sparse

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions, Users
from recstage.errors import ConfigError, DataError
from recstage.models.linear import memory
from recstage.models.linear.ease import Ease, EaseParams
from recstage.models.linear.item_to_item import Collector
from recstage.models.linear.ridge import Rows, inverse_columns
from recstage.models.linear.side_information import feature_rows
from recstage.models.recent_items import recent
from tests.models.neighborhood.test_knn import random_interactions
from tests.models.synthetic_blocks import blocks, catalogue, disguised, group_of, ids


def interactions(matrix: list[list[int]]) -> Interactions:
    rows = np.array(matrix)
    user, item = np.nonzero(rows)
    return Interactions.from_arrays(ids("u", len(rows)), ids("i", rows.shape[1]), user, item)


def dense_weights(model: Ease) -> np.ndarray:
    weights = model.weights_
    return weights.toarray() if sparse.issparse(weights) else weights


def expected_weights(rows: np.ndarray, l2: float, dropout: float, diagonal: float) -> np.ndarray:
    """Equations of Steck 2019 and Moon et al. 2023, in double precision."""
    gram = rows.T @ rows
    penalty = l2 + dropout / (1 - dropout) * np.diag(gram)
    inverse = np.linalg.inv(gram + np.diag(penalty))
    precision = np.diag(inverse)
    free = 1 - precision * penalty
    kappa = np.where(free > diagonal, (1 - diagonal) / precision - penalty, 0)
    return np.eye(len(gram)) - inverse * (kappa + penalty)


def test_two_items_chosen_together_by_hand() -> None:
    # G = [[2, 2], [2, 2]], l2 = 1: P = [[3, -2], [-2, 3]] / 5, so that B_12 = -P_12 / P_22 = 2 / 3
    model = Ease(EaseParams(l2=1.0)).fit(interactions([[1, 1], [1, 1]]))
    np.testing.assert_allclose(dense_weights(model), [[0, 2 / 3], [2 / 3, 0]], rtol=1e-5)


def test_a_checkerboard_is_completed() -> None:
    board = np.add.outer(np.arange(8), np.arange(6)) % 2
    board[0, 1] = 0  # the one hole
    model = Ease(EaseParams(l2=1.0)).fit(interactions(board.tolist()))
    assert model.recommend("u000", 1).item_ids == ["i001"]


@pytest.mark.parametrize("shape", [(60, 25), (12, 40)], ids=["primal", "dual"])
@pytest.mark.parametrize(("dropout", "diagonal"), [(0.0, 0.0), (0.4, 0.0), (0.0, 0.3), (0.3, 0.2)])
def test_weights_are_those_of_the_papers(shape: tuple[int, int], dropout: float, diagonal: float) -> None:
    rows = random_interactions(*shape)
    expected = expected_weights(rows.matrix.toarray().astype(float), 3.0, dropout, diagonal)
    model = Ease(EaseParams(l2=3.0, dropout=dropout, diagonal=diagonal)).fit(rows)
    np.testing.assert_allclose(dense_weights(model), expected, atol=2e-5)


@pytest.mark.parametrize("n_features", [0, 3])
def test_both_ways_to_the_inverse_agree(n_features: int) -> None:
    random = np.random.default_rng(3)
    users = sparse.random(20, 30, 0.3, format="csr", dtype=np.float32, random_state=1)
    features = random.standard_normal((n_features, 30)).astype(np.float32)
    penalty = random.uniform(0.5, 2, 30).astype(np.float32)
    whole = np.vstack([users.toarray(), features]).astype(float)
    expected = np.linalg.inv(whole.T @ whole + np.diag(penalty))
    few, many = Rows(users, features), Rows(sparse.vstack([users, np.zeros((20, 30))], format="csr"), features)
    assert few.is_dual
    assert not many.is_dual
    for rows in (few, many):
        found = np.hstack([block for _, block in inverse_columns(rows, penalty)])
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(few.squares, (whole**2).sum(axis=0), rtol=1e-5)


def test_user_discount_and_popularity_discount_as_written_out() -> None:
    rows = random_interactions(60, 20)
    matrix = rows.matrix.toarray().astype(float)
    scaled = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1e-12) ** 0.5
    expected = expected_weights(scaled, 0.7, 0.0, 0.0) * np.maximum(rows.item_counts, 1) ** -0.3
    model = Ease(EaseParams(l2=0.7, user_discount=0.5, popularity_discount=0.3)).fit(rows)
    np.testing.assert_allclose(dense_weights(model), expected, atol=2e-5)


def test_scores_are_histories_times_weights_and_old_choices_may_count_less() -> None:
    rows = random_interactions()
    model = Ease(EaseParams(l2=2.0, recency_decay=0.7)).fit(rows)
    expected = recent(rows.all_users, 0.7).toarray() @ dense_weights(model)
    np.testing.assert_allclose(model.score(rows.all_users), expected, rtol=1e-4, atol=1e-5)


def test_who_is_folded_in_is_scored_as_training_would_have() -> None:
    model, all_users = Ease(EaseParams(l2=5.0)).fit(blocks()), blocks().all_users
    np.testing.assert_array_equal(model.score(all_users), model.score(disguised(all_users)))


def test_texts_and_categories_lead_to_items_that_nobody_shares() -> None:
    # two halves of one group's things have no person in common, and only their texts say that they belong together
    user, item = np.nonzero([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]])
    rows = Interactions.from_arrays(ids("u", 3), ids("i", 6), user, item)
    texts = ["rocket planet", "rocket planet", "rocket planet", "rocket planet", "kettle spoon", "kettle spoon"]
    frame = Catalogue.empty(rows.items).to_frame().assign(text=texts)
    described = Catalogue.from_frame(frame, rows.items)
    told = Ease(EaseParams(l2=1.0, side_weight=1.0)).fit(rows, catalogue=described)
    untold = Ease(EaseParams(l2=1.0)).fit(rows, catalogue=described)
    assert dense_weights(told)[0, 2] > 0.05
    assert dense_weights(untold)[0, 2] == pytest.approx(0, abs=1e-6)
    features = feature_rows(described, 16, 0)
    np.testing.assert_allclose(features.T @ features, np.kron(np.diag([1.0, 0.0]), np.ones((4, 4)))[:6, :6]
                               + np.pad(np.ones((2, 2)), ((4, 0), (4, 0))), atol=1e-5)  # fmt: skip


def test_side_weight_without_texts_is_said_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "recstage"):
        told = Ease(EaseParams(l2=5.0, side_weight=3.0)).fit(blocks())
    assert "side_weight has no effect" in caplog.text
    np.testing.assert_array_equal(told.weights_, Ease(EaseParams(l2=5.0)).fit(blocks()).weights_)


def test_only_the_greatest_weights_are_kept_where_asked_for() -> None:
    whole = dense_weights(Ease(EaseParams(l2=1.0)).fit(blocks()))
    model = Ease(EaseParams(l2=1.0, weights_per_item=5)).fit(blocks())
    assert sparse.issparse(model.weights_)
    few = dense_weights(model)
    assert (np.count_nonzero(few, axis=0) == 5).all()
    for column in range(blocks().n_items):
        kept = np.flatnonzero(few[:, column])
        np.testing.assert_array_equal(few[kept, column], whole[kept, column])
        assert np.abs(whole[kept, column]).min() >= np.delete(np.abs(whole[:, column]), kept).max()


def test_as_many_weights_as_a_dense_matrix_holds_are_kept_densely() -> None:
    model = Ease(EaseParams(l2=1.0, weights_per_item=blocks().n_items // 2)).fit(blocks())
    assert isinstance(model.weights_, np.ndarray)
    assert Collector.bytes_needed(100, 50) == Collector.bytes_needed(100, 0) == 4 * 100**2


def test_a_catalogue_too_large_is_refused_before_memory_is_taken() -> None:
    n = 3000
    few = Interactions.from_arrays(ids("u", 2), ids("i", n), [0, 0, 1], [0, 1, 2])
    with pytest.raises(DataError) as refused:
        Ease(EaseParams(memory_gb=0.03)).fit(few)
    assert str(refused.value) == (
        "3,000 items: ease needs about 46 MB for the item-to-item weights, and memory_gb = 0.03. "
        "Choose slim or spectral, set weights_per_item, or raise memory_gb."
    )
    assert Ease(EaseParams(memory_gb=0.03, weights_per_item=20)).fit(few).weights_.nnz <= 20 * n


def test_more_memory_than_the_machine_has_free_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Little:
        available = 1000

    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: Little)
    with pytest.raises(DataError, match=r"and this machine has 0 MB free"):
        Ease(EaseParams()).fit(blocks())


def test_an_l2_too_small_for_single_precision_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="cannot be inverted in single precision with so small an l2"):
        Ease(EaseParams(l2=1e-12)).fit(interactions([[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1]]))


def test_equal_histories_leave_every_other_item_alike() -> None:
    rows = Interactions.from_arrays(ids("u", 5), ids("i", 4), np.repeat(np.arange(5), 3), np.tile([0, 1, 2], 5))
    scores = Ease(EaseParams()).fit(rows).score(Users.unknown(4, [0]))[0]
    assert scores[1] == pytest.approx(float(scores[2]), rel=1e-4)
    assert scores[1] > 0
    assert scores[3] == 0


def test_one_item_and_one_user_are_served() -> None:
    one_item = Ease(EaseParams()).fit(interactions([[1], [1]]))
    assert one_item.recommend("u000", 3, exclude_seen=False).item_ids == ["i000"]
    one_user = Ease(EaseParams(l2=1.0)).fit(interactions([[1, 1, 1]]))
    newcomer = Users.unknown(3, [0])
    assert one_user.rank(newcomer, 2).items.tolist() == [[1, 2]]


def test_similar_items_are_of_the_same_group() -> None:
    vectors = Ease(EaseParams(l2=5.0, side_weight=1.0)).fit(blocks(), catalogue=catalogue()).item_vectors()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -1)
    names = blocks().items.ids
    assert [group_of(names[i]) for i in similarity.argmax(axis=1)] == [group_of(name) for name in names]
