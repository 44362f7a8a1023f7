"""Spectral filtering: answers known by hand, and scores as GF-CF and BSPM write them, in dense matrices."""

from __future__ import annotations

import numpy as np
import pytest

from recstage.config import model_config_of
from recstage.data.interactions import Interactions, Users
from recstage.errors import ConfigError, DataError
from recstage.models import build
from recstage.models.linear.spectral import Spectral, SpectralParams
from recstage.models.recent_items import recent
from tests.models.neighborhood.test_knn import random_interactions
from tests.models.synthetic_blocks import blocks, disguised, group_of, ids


def normalised(rows: np.ndarray, user_exponent: float = 0.5, item_exponent: float = 0.5) -> np.ndarray:
    users, items = rows.sum(axis=1), rows.sum(axis=0)
    users, items = np.where(users > 0, users, 1), np.where(items > 0, items, 1)
    return rows / users[:, None] ** user_exponent / items**item_exponent


def low_pass(rows: np.ndarray, factors: int, item_exponent: float = 0.5) -> np.ndarray:
    """D^-b V V' D^b, with V the right singular vectors of the normalised rows."""
    _, _, vectors = np.linalg.svd(normalised(rows, item_exponent=item_exponent))
    items = np.where(rows.sum(axis=0) > 0, rows.sum(axis=0), 1) ** item_exponent
    projection = vectors[:factors].T @ vectors[:factors]
    return projection / items[:, None] * items


def test_one_step_of_propagation_by_hand() -> None:
    # u0 chose i0 and i1, u1 chose i1: edges 1/sqrt(2), 1/2; 0, 1/sqrt(2)
    rows = Interactions.from_arrays(ids("u", 2), ids("i", 2), [0, 0, 1], [0, 1, 1])
    model = Spectral(SpectralParams(low_pass=0.0)).fit(rows)
    root = 1 / np.sqrt(8)
    np.testing.assert_allclose(model.score(rows.all_users), [[0.5 + root, root + 0.75], [root, 0.75]], rtol=1e-5)


def test_a_checkerboard_is_completed() -> None:
    board = np.add.outer(np.arange(8), np.arange(6)) % 2
    board[0, 1] = 0  # the one hole
    rows = Interactions.from_arrays(ids("u", 8), ids("i", 6), *np.nonzero(board))
    for params in (SpectralParams(), SpectralParams(sharpen_time=0.3), SpectralParams(factors=2, low_pass=5.0)):
        assert Spectral(params).fit(rows).recommend("u000", 1).item_ids == ["i001"]


@pytest.mark.parametrize("factors", [3, 24])
def test_scores_without_sharpening_are_those_of_gf_cf(factors: int) -> None:
    rows = random_interactions(40, 25)
    matrix = rows.matrix.toarray().astype(float)
    edges = normalised(matrix)
    expected = matrix @ edges.T @ edges + 0.3 * matrix @ low_pass(matrix, factors)
    model = Spectral(SpectralParams(factors=factors, low_pass=0.3)).fit(rows)
    np.testing.assert_allclose(model.score(rows.all_users), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("merge", ["early", "late"])
def test_sharpened_scores_are_those_of_bspm(merge: str) -> None:
    rows = random_interactions(40, 25)
    matrix = rows.matrix.toarray().astype(float)
    edges = normalised(matrix)
    blurred, low = matrix @ edges.T @ edges, 0.2 * matrix @ low_pass(matrix, 5)
    signal = blurred + low if merge == "early" else blurred
    for _ in range(3):
        signal = signal - 0.4 * signal @ edges.T @ edges
    expected = signal if merge == "early" else signal + low
    params = SpectralParams(factors=5, low_pass=0.2, sharpen_time=1.2, sharpen_steps=3, merge=merge)
    np.testing.assert_allclose(Spectral(params).fit(rows).score(rows.all_users), expected, rtol=1e-3, atol=1e-4)


def test_exponents_discount_and_recency_as_written_out() -> None:
    rows = random_interactions(40, 25)
    matrix = rows.matrix.toarray().astype(float)
    edges = normalised(matrix, 0.3, 0.8)
    histories = recent(rows.all_users, 0.6).toarray()
    _, values, vectors = np.linalg.svd(edges)
    edges = edges / values[0]
    scale = np.where(matrix.sum(axis=0) > 0, matrix.sum(axis=0), 1) ** 0.8
    low = histories / scale @ vectors[:4].T @ vectors[:4] * scale
    expected = (histories @ edges.T @ edges + 0.5 * low) * np.maximum(rows.item_counts, 1) ** -0.2
    params = SpectralParams(
        factors=4, low_pass=0.5, user_exponent=0.3, item_exponent=0.8, popularity_discount=0.2, recency_decay=0.6
    )
    np.testing.assert_allclose(Spectral(params).fit(rows).score(rows.all_users), expected, rtol=1e-3, atol=1e-4)


def test_who_is_folded_in_is_scored_as_training_would_have() -> None:
    all_users = blocks().all_users
    for params in (SpectralParams(), SpectralParams(sharpen_time=0.5, merge="early")):
        model = Spectral(params).fit(blocks())
        np.testing.assert_array_equal(model.score(all_users), model.score(disguised(all_users)))


@pytest.mark.parametrize("merge", ["early", "late"])
def test_what_each_item_of_the_history_adds_makes_up_the_score(merge: str) -> None:
    params = SpectralParams(
        factors=5, sharpen_time=0.6, sharpen_steps=2, merge=merge, popularity_discount=0.3, user_exponent=0.4
    )
    rows = random_interactions(40, 25)
    model = Spectral(params).fit(rows)
    for item in (0, 7, 13):
        history = recent(rows.of([3]), 0.0)
        added = model._adjoint(item)[history.indices] * history.data
        assert added.sum() == pytest.approx(float(model.score(rows.of([3]))[0, item]), rel=1e-3, abs=1e-4)


def test_steps_that_would_turn_the_main_direction_around_are_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        build(model_config_of("spectral"), sharpen_time=2.0, sharpen_steps=2)
    assert "sharpen_time = 2 in sharpen_steps = 2: a step is shorter than 1; give more steps" in str(refused.value)


def test_a_list_is_explained_by_the_history() -> None:
    model = Spectral(SpectralParams()).fit(blocks())
    reason = model.why("user-50", "thing-3-1")
    assert {group_of(one.name) for one in reason.contributions if one.value > 1e-3} == {3}
    assert reason.score == pytest.approx(float(model.predict("user-50", ["thing-3-1"])[0]), rel=1e-3)
    assert reason.text.startswith("You chose item thing-3-")


def test_more_memory_than_allowed_is_refused_before_it_is_taken() -> None:
    few = Interactions.from_arrays(ids("u", 3000), ids("i", 3000), [0, 0, 1], [0, 1, 2])
    with pytest.raises(DataError) as refused:
        Spectral(SpectralParams(factors=2000, memory_gb=0.1)).fit(few)
    assert str(refused.value) == (
        "3,000 items: spectral needs about 184 MB for 2000 singular vectors, and memory_gb = 0.1. "
        "Lower factors, or raise memory_gb."
    )


def test_equal_histories_leave_every_other_item_alike() -> None:
    rows = Interactions.from_arrays(ids("u", 5), ids("i", 4), np.repeat(np.arange(5), 3), np.tile([0, 1, 2], 5))
    scores = Spectral(SpectralParams()).fit(rows).score(Users.unknown(4, [0]))[0]
    assert scores[1] == pytest.approx(float(scores[2]), rel=1e-4)
    assert scores[1] > 0
    assert scores[3] == 0


def test_one_item_and_one_user_are_served() -> None:
    one_item = Spectral(SpectralParams()).fit(Interactions.from_arrays(ids("u", 2), ids("i", 1), [0, 1], [0, 0]))
    assert one_item.recommend("u000", 3, exclude_seen=False).item_ids == ["i000"]
    rows = Interactions.from_arrays(ids("u", 1), ids("i", 3), [0, 0, 0], [0, 1, 2])
    one_user = Spectral(SpectralParams()).fit(rows)
    assert one_user.rank(Users.unknown(3, [0]), 2).items.tolist() == [[1, 2]]
