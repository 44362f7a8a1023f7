"""Reverse ALS: the same vectors seen from the items' side, people found for new items."""

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


def test_an_item_gets_the_people_of_its_group() -> None:
    model = fitted()
    for thing in ("thing-0-3", "thing-2-7"):
        found = model.recommend(thing, 2)
        assert found.method == "reverse-als"
        assert {group_of(person) for person in found.item_ids} == {group_of(thing)}


@pytest.mark.parametrize("decay", [0.0, 0.7])
def test_a_choice_weighs_the_same_in_both_directions(decay: float) -> None:
    rows = random_interactions()
    model = ReverseALS(ALSParams(**{**SMALL, "recency_decay": decay})).fit(rows.transposed())
    forward = recent(rows.all_users, decay).toarray() * 5.0
    np.testing.assert_allclose(model._extra(rows.transposed().all_users).toarray().T, forward, rtol=1e-5)
    assert float(model.state()["added"]) == pytest.approx(forward.sum(), rel=1e-5)


def test_a_choice_after_training_is_the_persons_latest() -> None:
    model = fitted(recency_decay=1.0)
    person = int(model.items.index_of(["person-4"])[0])
    before, after = (Users.unknown(model.n_items, [person], timestamps=[moment]) for moment in (-1, 10_000))
    assert model._extra(after).toarray()[0, person] == 5.0
    assert model._extra(before).toarray()[0, person] == pytest.approx(5.0 / (1 + 8))  # all eight choices came later


def test_a_new_item_finds_people_like_the_first_to_choose_it() -> None:
    model = fitted(recency_decay=0.5)
    first = model.items.index_of(["person-16", "person-20"])
    arrival = Users.unknown(model.n_items, first, timestamps=[100, 101])
    found = model.items.id_of(model.rank(arrival, 5).items[0])
    assert {group_of(person) for person in found} == {1}


def test_the_people_it_is_like_explain() -> None:
    model = fitted()
    chosen = set(
        blocks().users.id_of(blocks().user_index[blocks().item_index == blocks().items.index_of(["thing-1-2"])[0]])
    )
    person = next(p for p in (f"person-{n}" for n in range(15, 30)) if p not in chosen)
    reason = model.why("thing-1-2", person)
    assert {one.name for one in reason.contributions} == chosen
    assert reason.text == f"{len(chosen)} of the {len(chosen)} people who chose it choose like this person."
