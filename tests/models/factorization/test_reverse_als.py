"""Reverse ALS: the same vectors for the other direction, users found for new items."""

from __future__ import annotations

import numpy as np
import pytest

from recstage.data.interactions import Users
from recstage.models.factorization.als import ALS, ALSParams
from recstage.models.factorization.reverse_als import ReverseALS
from recstage.models.recent_items import recent
from tests.models.neighborhood.test_knn import random_interactions
from tests.models.synthetic_blocks import blocks, group_of

SMALL = {"factors": 6, "regularization": 2.0, "alpha": 5.0, "iterations": 40}


def fitted(**params: object) -> ReverseALS:
    return ReverseALS(ALSParams(**{**SMALL, **params})).fit(blocks().transposed(), seed=1)


def test_it_is_the_reverse_of_a_recommender_of_items() -> None:
    assert ReverseALS.reverse
    assert not ALS.reverse


def test_an_item_gets_the_users_of_its_group() -> None:
    model = fitted()
    for thing in ("thing-0-3", "thing-2-7"):
        found = model.recommend(thing, 2)
        assert found.method == "reverse-als"
        assert {group_of(user_id) for user_id in found.item_ids} == {group_of(thing)}


@pytest.mark.parametrize("decay", [0.0, 0.7])
def test_a_choice_has_the_same_weight_in_both_directions(decay: float) -> None:
    rows = random_interactions()
    model = ReverseALS(ALSParams(**{**SMALL, "recency_decay": decay})).fit(rows.transposed())
    forward = recent(rows.all_users, decay).toarray() * 5.0
    np.testing.assert_allclose(model._extra(rows.transposed().all_users).toarray().T, forward, rtol=1e-5)
    assert float(model.state()["added"]) == pytest.approx(forward.sum(), rel=1e-5)


def test_a_choice_after_training_is_the_latest_of_its_user() -> None:
    model = fitted(recency_decay=1.0)
    user_id = int(model.items.index_of(["user-4"])[0])
    before, after = (Users.unknown(model.n_items, [user_id], timestamps=[moment]) for moment in (-1, 10_000))
    assert model._extra(after).toarray()[0, user_id] == 5.0
    assert model._extra(before).toarray()[0, user_id] == pytest.approx(5.0 / (1 + 8))  # all eight choices came later


def test_a_new_item_finds_users_similar_to_the_first_to_choose_it() -> None:
    model = fitted(recency_decay=0.5)
    first = model.items.index_of(["user-16", "user-20"])
    new_item = Users.unknown(model.n_items, first, timestamps=[100, 101])
    found = model.items.id_of(model.rank(new_item, 5).items[0])
    assert {group_of(user_id) for user_id in found} == {1}


def test_similar_users_explain() -> None:
    model = fitted()
    chosen = set(
        blocks().users.id_of(blocks().user_index[blocks().item_index == blocks().items.index_of(["thing-1-2"])[0]])
    )
    user_id = next(p for p in (f"user-{n}" for n in range(15, 30)) if p not in chosen)
    reason = model.why("thing-1-2", user_id)
    assert {one.name for one in reason.contributions} == chosen
    assert reason.text == f"{len(chosen)} of the {len(chosen)} users who chose it make choices similar to this user's."
