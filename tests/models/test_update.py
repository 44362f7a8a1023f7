"""What an update does to every model in conf/model: later users and items are served, the model itself stays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recstage.config import model_config_of, names_in
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions
from recstage.errors import ConfigError
from recstage.models import build
from recstage.models.base import Recommender
from recstage.models.growth import Growth
from tests.models.synthetic_blocks import WORDS, blocks, catalogue, group_of
from tests.models.test_contract import IMPERSONAL, SMALL, fitted

pytestmark = pytest.mark.slow

FORWARD = [name for name in names_in("model") if not model_config_of(name).registered_name.endswith("reverse")]
UNHEARD, CHOSEN, NEWCOMER = "thing-0-new", "thing-1-new", "user-0b"


def later() -> tuple[Interactions, Catalogue]:
    """The blocks with a newcomer of group 0, an item of group 0 without events, and one of group 1 that all of its
    group chose; ids in another order than before."""
    rows = blocks().to_frame()
    mates = [f"user-{number}" for number in range(15, 30)]
    more = [(NEWCOMER, f"thing-0-{thing}", 1.0, thing) for thing in range(1, 6)]
    more += [(mate, CHOSEN, 1.0, 50) for mate in mates]
    rows = pd.concat([rows, pd.DataFrame(more, columns=rows.columns)])
    users = IdMap(np.array(sorted(rows["user_id"].unique(), reverse=True), dtype=object))
    items = IdMap(np.array(sorted({*rows["item_id"], UNHEARD}, reverse=True), dtype=object))
    described = pd.DataFrame(
        {
            "item_id": items.ids,
            "text": [WORDS[group_of(item)] for item in items.ids],
            "categories": [[f"group {group_of(item)}"] for item in items.ids],
        }
    )
    return Interactions.from_frame(rows, users=users, items=items), Catalogue.from_frame(described, items)


def updated(name: str, **more: bool) -> Recommender:
    train, content = later()
    return fitted(name).updated(train, catalogue=content, seed=5, **more)


@pytest.mark.parametrize("name", FORWARD)
def test_the_rows_of_an_update_stay_as_they_were_given(name):
    train, content = later()
    rows = train.to_frame()
    rows["weight"] = 2.0
    train = Interactions.from_frame(rows, users=train.users, items=train.items)
    weights = train.matrix.data.copy()
    fitted(name).updated(train, catalogue=content, seed=5)
    np.testing.assert_array_equal(train.matrix.data, weights)


@pytest.mark.parametrize("name", FORWARD)
def test_later_rows_are_served_and_the_model_itself_stays(name):
    before = fitted(name)
    known = {key: value.copy() for key, value in before.state().items()}
    model = updated(name)
    for key, value in before.state().items():
        np.testing.assert_array_equal(value, known[key])
    assert before.n_items + 2 == model.n_items
    if name in IMPERSONAL:
        return
    listed = model.recommend(NEWCOMER, 4)
    assert listed.method != "popularity"
    assert np.mean([group_of(item) == 0 for item in listed.item_ids]) >= 0.75, listed


@pytest.mark.parametrize("name", ["als", "content", "ncf", "two-tower"])
def test_an_item_without_events_is_near_those_whose_texts_it_shares(name):
    model = updated(name)
    scores = model.predict("user-1", [UNHEARD, "thing-1-2", "thing-2-2", "thing-3-2"])
    assert scores[0] > max(scores[1:]), scores


def test_a_model_that_has_been_updated_answers_alike_after_it_was_saved():
    from tests.models.test_contract import reloaded

    for name in ("als", "ncf", "lambdarank"):
        model = updated(name)
        again = reloaded(model)
        assert again.recommend(NEWCOMER, 5) == model.recommend(NEWCOMER, 5)


def test_als_solves_new_and_changed_rows_alone():
    before, train = fitted("als"), later()[0]
    kept, refreshed = updated("als", refresh=False), updated("als")
    same = before.train_.users.index_of(train.users.ids)
    mate, other = train.users.find("user-20"), train.users.find("user-50")
    old = before.user_factors_
    np.testing.assert_array_equal(kept.user_factors_[mate], old[same[mate]])
    np.testing.assert_array_equal(refreshed.user_factors_[other], old[same[other]])
    assert not np.array_equal(refreshed.user_factors_[mate], old[same[mate]])
    # the vector of an item that a group chose is what the same item would have folded in
    likes = train.matrix.T.tocsr()[[train.items.find(CHOSEN)]]
    np.testing.assert_allclose(
        refreshed.item_factors_[train.items.find(CHOSEN)], refreshed.fold_in_items(likes)[0], rtol=1e-3, atol=1e-4
    )


def test_reverse_als_is_updated_with_users_and_items_in_each_others_place():
    before = build(model_config_of("reverse-als"), **SMALL["reverse-als"]).fit(blocks().transposed(), seed=5)
    model = before.updated(later()[0].transposed())
    assert model.recommend(CHOSEN, 3).method == "reverse-als"


def test_a_two_tower_without_texts_refuses_new_items_in_one_line():
    params = {**SMALL["two-tower"], "epochs": 2, "text_factors": 0}
    model = build(model_config_of("two-tower"), **params).fit(blocks(), catalogue=catalogue())
    with pytest.raises(ConfigError, match="2 new items: it was trained without texts.*Train it again"):
        model.updated(later()[0])
    assert model.updated(blocks()).recommend("user-1", 3) == model.recommend("user-1", 3)


def test_a_model_that_says_nothing_of_updates_is_refused_in_one_line():
    class Slow(type(fitted("popularity"))):
        quick_fit = False

    slow = Slow().fit(blocks())
    with pytest.raises(ConfigError, match="an update of popularity.*Train it again"):
        slow.updated(blocks())


def test_growth_counts_what_is_new_and_what_changed():
    growth = Growth.between(blocks(), later()[0])
    assert (growth.new_users, growth.new_items, growth.new_pairs) == (1, 2, 20)
    users = later()[0].users
    assert set(users.ids[growth.changed_user]) == {NEWCOMER, *(f"user-{number}" for number in range(15, 30))}
    assert growth.changed_item.sum() == 7
