"""SLIM: answers known by hand, and weights as scikit-learn's ElasticNet finds them on the rows themselves."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet

from recstage.data.interactions import Interactions, Users
from recstage.errors import DataError
from recstage.models.linear import elastic_net
from recstage.models.linear.slim import Slim, SlimParams
from tests.models.neighborhood.test_knn import random_interactions
from tests.models.synthetic_blocks import blocks, disguised, group_of, ids


def expected_weights(rows: np.ndarray, l1: float, l2: float, positive: bool) -> np.ndarray:
    """Each column regressed on all others that share a row with it, on the dense rows."""
    n = rows.shape[1]
    weights = np.zeros((n, n))
    for target in range(n):
        others = np.flatnonzero((rows.T @ rows[:, target] > 0) & (np.arange(n) != target))
        # ElasticNet divides the squared error by the number of rows
        model = ElasticNet(
            alpha=(l1 + l2) / len(rows),
            l1_ratio=l1 / (l1 + l2),
            positive=positive,
            fit_intercept=False,
            max_iter=10_000,
            tol=1e-10,
        )
        weights[others, target] = model.fit(rows[:, others], rows[:, target]).coef_
    return weights


def test_two_items_chosen_together_by_hand() -> None:
    # x_1 = x_2 = (1, 1, 1): w = (3 - l1) / (3 + l2) = 2 / 4
    rows = Interactions.from_arrays(ids("u", 3), ids("i", 2), [0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1])
    model = Slim(SlimParams(l1=1.0, l2=1.0)).fit(rows)
    np.testing.assert_allclose(model.weights_.toarray(), [[0, 0.5], [0.5, 0]], rtol=1e-4)


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize(("l1", "l2"), [(0.5, 2.0), (0.01, 5.0), (1.5, 0.5)])
@pytest.mark.parametrize("dense_items", [0, 6000], ids=["products of some", "products of all"])
def test_weights_are_those_of_an_elastic_net_on_the_rows(
    l1: float, l2: float, positive: bool, dense_items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elastic_net, "DENSE_ITEMS", dense_items)
    rows = random_interactions(50, 20)
    expected = expected_weights(rows.matrix.toarray().astype(float), l1, l2, positive)
    params = SlimParams(l1=l1, l2=l2, positive=positive, neighbors=19, tolerance=1e-9, max_sweeps=10_000)
    np.testing.assert_allclose(Slim(params).fit(rows).weights_.toarray(), expected, atol=1e-5)


def test_only_the_nearest_items_have_weights() -> None:
    model = Slim(SlimParams(l1=0.01, l2=1.0, neighbors=3)).fit(blocks())
    assert np.diff(model.weights_.tocsc().indptr).max() <= 3
    source, target = model.weights_.nonzero()
    names = blocks().items.ids
    assert [group_of(names[i]) for i in source] == [group_of(names[i]) for i in target]


def test_the_greater_l1_the_fewer_weights() -> None:
    rows = random_interactions(60, 25)
    found = [Slim(SlimParams(l1=l1, l2=1.0)).fit(rows).weights_.nnz for l1 in (0.0, 1.0, 4.0, 1000.0)]
    assert found[0] > found[1] > found[2] > found[3] == 0


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elastic_net, "TARGETS_AT_ONCE", 3)
    rows, found = random_interactions(50, 20), []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        found.append(Slim(SlimParams()).fit(rows).weights_.toarray())
    np.testing.assert_array_equal(*found)


def test_who_is_folded_in_is_scored_as_training_would_have() -> None:
    model, all_users = Slim(SlimParams()).fit(blocks()), blocks().all_users
    np.testing.assert_array_equal(model.score(all_users), model.score(disguised(all_users)))


def test_popularity_discount_divides_scores() -> None:
    rows = random_interactions()
    plain, held = Slim(SlimParams()).fit(rows), Slim(SlimParams(popularity_discount=0.4)).fit(rows)
    expected = plain.score(rows.all_users) * np.maximum(rows.item_counts, 1) ** -0.4
    np.testing.assert_allclose(held.score(rows.all_users), expected, rtol=1e-4, atol=1e-6)


def test_more_memory_than_allowed_is_refused_before_it_is_taken() -> None:
    n = 50_000
    few = Interactions.from_arrays(ids("u", 2), ids("i", n), [0, 0, 1], [0, 1, 2])
    with pytest.raises(DataError) as refused:
        Slim(SlimParams(neighbors=5000, memory_gb=2.0)).fit(few)
    assert str(refused.value).startswith("50,000 items: slim needs about ")
    assert str(refused.value).endswith(" for 5000 neighbours, and memory_gb = 2. Lower neighbors, or raise memory_gb.")


def test_equal_histories_leave_every_other_item_alike() -> None:
    rows = Interactions.from_arrays(ids("u", 5), ids("i", 4), np.repeat(np.arange(5), 3), np.tile([0, 1, 2], 5))
    scores = Slim(SlimParams()).fit(rows).score(Users.unknown(4, [0]))[0]
    assert scores[1] == pytest.approx(float(scores[2]), rel=1e-4)
    assert scores[1] > 0
    assert scores[3] == 0


def test_one_item_and_one_user_are_served() -> None:
    one_item = Slim(SlimParams()).fit(Interactions.from_arrays(ids("u", 2), ids("i", 1), [0, 1], [0, 0]))
    assert one_item.recommend("u000", 3, exclude_seen=False).item_ids == ["i000"]
    one_user = Slim(SlimParams(l1=0.1)).fit(Interactions.from_arrays(ids("u", 1), ids("i", 3), [0, 0, 0], [0, 1, 2]))
    assert one_user.rank(Users.unknown(3, [0]), 2).items.tolist() == [[1, 2]]
