"""Declared attributes: counted on the past alone, crossed with items and categories, missing where they are unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions, Users
from recstage.errors import ConfigError
from recstage.models import base
from recstage.models.baselines.popularity import Popularity
from recstage.models.features import FeatureTable, Past, generate_candidates
from recstage.models.features.attributes import ContextAttributes, ProfileAttributes
from recstage.models.features.attributes.values import Values
from recstage.models.lambdarank.model import LambdaRank
from recstage.models.lambdarank.params import LambdaRankParams
from tests.synthetic_data import CLOCK, HOUR

SMALL = {
    "retrievers": ["popularity"],
    "candidates": 30,
    "num_boost_round": 30,
    "min_data_in_leaf": 5,
    "negatives": None,
}


def tastes(n_users: int = 120, n_items: int = 30, length: int = 8, seed: int = 0) -> tuple[Interactions, Catalogue]:
    """Editors choose even items, readers odd ones; on a phone the lower half, at a desk the upper one."""
    random = np.random.default_rng(seed)
    user = np.repeat(np.arange(n_users), length)
    phone = random.random(len(user)) < 0.5
    half = n_items // 4
    item = 2 * (random.integers(0, half, len(user)) + np.where(phone, 0, half)) + user % 2
    _, first = np.unique(user * n_items + item, return_index=True)
    kept = np.sort(first)
    role = np.array(["editor" if i % 2 == 0 else "reader" for i in range(n_users)], dtype=object)
    age = np.where(np.arange(n_users) % 3 == 0, np.nan, 20.0 + np.arange(n_users) % 40)
    device = np.where(phone, "phone", "desk").astype(object)
    frame = pd.DataFrame({"user_id": [f"u{i:03}" for i in user], "item_id": [f"i{i:02}" for i in item]}).iloc[kept]
    rows = Interactions.from_frame(frame)
    rows = Interactions.from_arrays(
        rows.users, rows.items, rows.users.index_of(frame["user_id"]), rows.items.index_of(frame["item_id"]), None,
        CLOCK + kept * HOUR, profiles={"role": role, "age": age}, context={"device": device[kept]},
    )  # fmt: skip
    kinds = [["even" if int(name[1:]) % 2 == 0 else "odd"] for name in rows.items.ids]
    return rows, Catalogue.from_frame(pd.DataFrame({"item_id": rows.items.ids, "categories": kinds}), rows.items)


@pytest.fixture(scope="module")
def world():
    rows, catalogue = tastes()
    table = FeatureTable(["profile", "request"], ["popularity"], ["role", "age"], ["device", "hour"])
    table.learn(Past(rows, catalogue))
    return rows, catalogue, {"popularity": Popularity().fit(rows, catalogue=catalogue)}, table


def computed(world, users) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    _, _, retrievers, table = world
    candidates = generate_candidates(retrievers, users, 30, None)
    values = table.compute(candidates)
    return candidates, dict(zip(table.names, values.T, strict=True))


def test_a_value_lifts_the_items_that_its_users_like(world):
    rows = world[0]
    candidates, found = computed(world, rows.of([0]))
    even = np.array([int(name[1:]) % 2 == 0 for name in rows.items.id_of(candidates.item)])
    assert found["profile_role_item"][even].min() > 0 > found["profile_role_item"][~even].max()
    assert found["profile_role_category"][even].min() > 0 > found["profile_role_category"][~even].max()
    assert np.isnan(found["profile_age"]).all()  # user 0 has none
    assert np.isnan(found["request_device"]).all()  # and the request says nothing


def test_what_a_request_says_counts_more_than_what_training_knew(world):
    rows = world[0]
    given = {"profile.role": np.array(["reader"], object), "context.device": np.array(["phone"], object)}
    candidates, found = computed(world, replace(rows.of([0]), given=given))
    number = np.array([int(name[1:]) for name in rows.items.id_of(candidates.item)])
    assert found["profile_role_item"][number % 2 == 1].min() > 0
    lower = number < 14
    assert found["request_device_item"][lower].mean() > 0 > found["request_device_item"][~lower].mean()


def test_a_history_that_has_grown_keeps_its_profile(world):
    rows = world[0]
    live = replace(rows.of([1]), index=np.array([-1], np.int32), profile_index=np.array([1], np.int32))
    assert np.isfinite(computed(world, live)[1]["profile_role"]).all()
    assert np.isnan(computed(world, replace(live, profile_index=None))[1]["profile_role"]).all()


def test_unknown_values_are_missing_and_are_named(world):
    rows, table = world[0], world[3]
    given = {"profile.role": np.array(["pilot"], object), "profile.age": np.array(["old"], object)}
    given |= {"context.device": np.array(["desk"], object), "context.page": np.array(["home"], object)}
    found = computed(world, replace(rows.of([1]), index=np.array([-1], np.int32), given=given))[1]
    assert np.isnan(found["profile_role_item"]).all()
    assert np.isnan(found["profile_age"]).all()
    assert np.isfinite(found["request_device_item"]).all()
    assert table.unlearned(given) == ["profile.role", "profile.age"]


def test_saved_arrays_are_all_that_is_needed(world):
    rows, _, retrievers, table = world
    again = FeatureTable(["profile", "request"], ["popularity"], ["role", "age"], ["device", "hour"])
    again.load(table.state())
    users = replace(rows.of([3, 4]), given={"context.hour": np.array([3.0, np.nan])})
    candidates = generate_candidates(retrievers, users, 30, None)
    np.testing.assert_array_equal(again.compute(candidates), table.compute(candidates))


def test_an_attribute_that_the_data_lacks_is_refused_with_those_that_there_are(world):
    rows, catalogue = world[:2]
    with pytest.raises(ConfigError, match="user attribute rolle: the data set says nothing of it. Did you mean 'role'"):
        ProfileAttributes(["rolle"]).learn(Past(rows, catalogue))
    with pytest.raises(ConfigError, match="context page.*device, hour, weekday"):
        ContextAttributes(["page"]).learn(Past(rows, catalogue))
    plain = replace(rows, profiles={})
    with pytest.raises(ConfigError, match="Give a users file"):
        ProfileAttributes(["role"]).learn(Past(plain, catalogue))


def test_rare_texts_are_missing_and_numbers_fall_into_bands_of_equally_many():
    texts = Values.learn(np.array(["a"] * 9 + ["b"] * 6 + ["c"] * 2 + [None], object))
    assert texts.names == ("a", "b")
    np.testing.assert_array_equal(texts.numbers(np.array(["b", "c", None], object)), [1, np.nan, np.nan])
    numbers = Values.learn(np.arange(100.0))
    assert np.bincount(numbers.bands(np.arange(100.0))).tolist() == [20] * 5
    assert numbers.bands(np.array([np.nan]))[0] == -1


def test_no_label_is_counted_in_what_trees_learn_from():
    """The crossed counts do not change with what the labels are."""
    rows, catalogue = tastes()
    other = rows.item_index.copy()
    for end in (rows.indptr[1:] - 1).tolist():
        own = rows.item_index[rows.user_index == rows.user_index[end]]
        other[end] = np.setdiff1d(np.arange(rows.n_items), own)[0]
    model = LambdaRank(LambdaRankParams(**SMALL, holdout="last", labels_per_user=1)).attach(rows, catalogue)
    states = []
    for some in (rows, replace(rows, item_index=other)):
        table = FeatureTable(["profile"], ["popularity"], ["role", "age"])
        fitting = base.Fitting(0, None, catalogue, base.silent, None)
        table.learn(Past(model.training(some, fitting).held_out().past, catalogue))
        states.append(table.state())
    for key, values in states[0].items():
        np.testing.assert_array_equal(values, states[1][key])


@pytest.mark.slow
def test_the_second_stage_learns_from_profile_and_context():
    rows, catalogue = tastes()
    models = [
        LambdaRank(LambdaRankParams(**SMALL, user_attributes=user, context=context)).fit(
            rows, seed=1, catalogue=catalogue
        )
        for user, context in (((), ()), (("role",), ("device",)))
    ]
    asked = {"profile.role": np.array(["reader"], object), "context.device": np.array(["phone"], object)}
    users = replace(rows.of([1]), index=np.array([-1], np.int32), given=asked)
    new = replace(Users.unknown(rows.n_items), given={"profile.role": asked["profile.role"]})
    assert [bool(model.can_score(new)[0]) for model in models] == [False, True]
    first = rows.items.id_of(models[1].rank(new, 5).items[0])
    assert all(int(one[1:]) % 2 == 1 for one in first)
    assert "what users like you choose" in models[1].explain(new, rows.items.find(first[0])).text
    assert not models[1].can_score(replace(new, given={"profile.role": np.array(["pilot"], object)}))[0]
    names = [rows.items.id_of(model.rank(users, 5).items[0]) for model in models]
    wanted = [np.mean([int(one[1:]) % 2 == 1 and int(one[1:]) < 14 for one in some]) for some in names]
    assert wanted[1] >= 0.8
    assert models[1].request_keys == {"profile.role", "context.device"}
    assert models[0].request_keys == frozenset()
