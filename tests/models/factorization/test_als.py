"""ALS: its vectors solve the published equations, unknown users and new items fold in, recent choices weigh more."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recstage.data.interactions import Interactions, Users
from recstage.models.factorization.als import ALS, ALSParams
from tests.models.synthetic_blocks import active_users, blocks, disguised, group_of

SMALL = {"factors": 6, "regularization": 2.0, "alpha": 5.0, "iterations": 40}


def fitted(**params: object) -> ALS:
    return ALS(ALSParams(**{**SMALL, **params})).fit(blocks(), seed=1)


def solved(factors: np.ndarray, confidence: np.ndarray, regularization: float) -> np.ndarray:
    """One row's vector by the formula of the paper, dense and in double precision; confidence is 1 where nothing is."""
    factors = factors.astype(np.float64)
    left = factors.T @ np.diag(confidence) @ factors + regularization * np.eye(factors.shape[1])
    return np.linalg.solve(left, factors.T @ (confidence * (confidence > 1)))


def test_trained_vectors_solve_their_equations() -> None:
    model = fitted()
    likes = blocks().matrix.toarray()
    for user in (0, 17, 44):
        expected = solved(model.item_factors_, 1 + 5.0 * likes[user], 2.0)
        np.testing.assert_allclose(model.user_factors_[user], expected, atol=2e-3)
    for item in (0, 25):
        expected = solved(model.user_factors_, 1 + 5.0 * likes[:, item], 2.0)
        np.testing.assert_allclose(model.item_factors_[item], expected, atol=2e-3)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_frequency_scaling_regularises_by_total_confidence(exponent: float) -> None:
    rows = blocks().select(np.arange(len(blocks())) % 3 > 0)  # lengths differ
    model = ALS(ALSParams(**{**SMALL, "frequency_scaling": exponent})).fit(rows, seed=1)
    confidence = 1 + 5.0 * rows.matrix.toarray()
    total = confidence.sum(axis=1)
    for user in range(0, 60, 7):
        expected = solved(model.item_factors_, confidence[user], 2.0 * (total[user] / total.mean()) ** exponent)
        np.testing.assert_allclose(model.user_factors_[user], expected, atol=2e-2)
        folded = model.user_vectors(disguised(rows.of([user])))[0]
        np.testing.assert_allclose(folded, expected, atol=1e-4)


def test_weights_raise_confidence() -> None:
    items = blocks().items
    rows = Interactions.from_arrays(blocks().users, items, [0, 0, 1, 1], [0, 1, 0, 2], [4.0, 0.5, 1.0, 1.0])
    model = ALS(ALSParams(**SMALL)).fit(rows)
    expected = solved(model.item_factors_, 1 + 5.0 * rows.matrix.toarray()[0], 2.0)
    np.testing.assert_allclose(model.user_vectors(disguised(rows.of([0])))[0], expected, atol=1e-4)


def test_many_unknown_users_are_folded_in_as_each_alone() -> None:
    model = fitted()
    many = disguised(blocks().of(np.tile(np.arange(60), 10)))  # more than are solved at once
    together = model.user_vectors(many)
    alone = np.concatenate([model.user_vectors(many.take([row])) for row in (0, 255, 256, 599)])
    np.testing.assert_allclose(together[[0, 255, 256, 599]], alone, atol=1e-5)


def test_unknown_and_trained_users_share_a_batch() -> None:
    model, known = fitted(), blocks().of([3, 4])
    mixed = Users(
        np.array([3, -1], np.int32), known.indptr, known.items, known.weights, known.timestamps, known.n_items
    )
    vectors = model.user_vectors(mixed)
    np.testing.assert_array_equal(vectors[0], model.user_factors_[3])
    np.testing.assert_allclose(vectors[1], model.user_factors_[4], atol=2e-3)


def test_a_new_item_scores_highest_for_users_similar_to_the_first_to_choose_it() -> None:
    model = fitted()
    first = blocks().users.index_of(["user-16", "user-20", "user-25"])  # group 1
    likes = sparse.csr_matrix((np.ones(3, np.float32), (np.zeros(3, int), first)), shape=(1, blocks().n_users))
    scores = model.user_vectors(blocks().all_users) @ model.fold_in_items(likes)[0]
    group = np.array([group_of(user_id) for user_id in active_users()])
    of_active = scores[blocks().users.index_of(active_users())]
    assert of_active[group == 1].min() > of_active[group != 1].max()


def test_recent_choices_weigh_more_with_recency_decay() -> None:
    old, new = [0, 1, 2], [10, 11, 12]  # group 0, then group 1
    level, recent = fitted(), fitted(recency_decay=1.0)

    def preference(model: ALS, history: list[int]) -> float:
        """How much more group 1's other things score than group 0's."""
        scores = model.score(Users.unknown(model.n_items, history))[0]
        return float(scores[13:19].mean() - scores[3:9].mean())

    assert preference(level, old + new) == pytest.approx(preference(level, new + old), abs=1e-5)
    assert preference(recent, old + new) > preference(recent, new + old) + 0.1


def test_length_discount_divides_scores_by_a_power_of_the_items_length() -> None:
    level, discounted = fitted(), fitted(length_discount=0.6)
    expected = level.score(blocks().all_users) / np.linalg.norm(level.item_factors_, axis=1) ** 0.6
    np.testing.assert_allclose(discounted.score(blocks().all_users), expected, atol=1e-5)


@pytest.mark.parametrize("discount", [0.0, 0.5])
def test_contributions_add_up_to_the_score(discount: float) -> None:
    model = fitted(length_discount=discount)
    for user_id, thing in (("user-2", "thing-0-3"), ("user-40", "thing-2-5")):
        users = disguised(model.known([user_id]))
        item = int(model.items.index_of([thing])[0])
        reason = model.explain(users, item)
        assert reason.score == pytest.approx(float(model.score(users)[0, item]), abs=1e-4)
        assert reason.score == pytest.approx(sum(one.value for one in reason.contributions), abs=1e-6)
        assert group_of(reason.contributions[0].name) == group_of(user_id)
        assert reason.text.startswith("You chose item thing-")


def test_every_iteration_is_reported() -> None:
    steps = []
    ALS(ALSParams(**{**SMALL, "iterations": 3})).fit(blocks(), report=lambda step, _: steps.append(step))
    assert steps == [1, 2, 3]


@pytest.mark.parametrize("scaling", [0.0, 1.0])
def test_the_reported_loss_is_the_weighted_squared_error_of_all_pairs_and_falls(scaling: float) -> None:
    losses: list[float] = []
    params = ALSParams(**{**SMALL, "iterations": 5, "frequency_scaling": scaling})
    model = ALS(params).fit(blocks(), report=lambda _, metrics: losses.append(metrics["loss"]))
    extra = model._extra(model.train_.all_users).toarray()
    error = (extra > 0) - model.user_factors_ @ model.item_factors_.T
    assert losses[-1] == pytest.approx(((1 + extra) * error**2).mean(), rel=1e-3)
    assert losses == sorted(losses, reverse=True)


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one = fitted()
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    np.testing.assert_array_equal(one.item_factors_, fitted().item_factors_)


def test_another_seed_gives_other_vectors() -> None:
    other = ALS(ALSParams(**SMALL)).fit(blocks(), seed=2)
    assert not np.allclose(fitted().item_factors_, other.item_factors_, atol=1e-3)


@pytest.mark.parametrize("decay", [0.0, 0.7])
def test_the_confidence_of_all_interactions_is_saved_and_computed_for_older_bundles(decay):
    model = fitted(recency_decay=decay)
    state = model.state()
    assert float(state["added"]) == pytest.approx(model._extra(model.train_.all_users).sum(), rel=1e-5)
    before = {name: values for name, values in state.items() if name != "added"}
    older = ALS.restore(model.params, before, model.train_, model.catalogue_, {})
    assert older._item_side._mean_confidence == pytest.approx(model._item_side._mean_confidence)
