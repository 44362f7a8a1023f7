"""Item -> people: the reverse model, and content where too few people liked the item."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recstage.data.interactions import Interactions
from recstage.models.factorization.als import ALS, ALSParams
from serving.interfaces import Item
from serving.recommend.users_for_item import segments_of
from tests.serving.doubles import HandPointer, MemoryStore


@pytest.fixture(scope="session")
def reverse_als(interactions) -> ALS:
    frame = interactions.to_frame().rename(columns={"user_id": "item_id", "item_id": "user_id"})
    return ALS(ALSParams(factors=8, regularization=1.0, iterations=5)).fit(Interactions.from_frame(frame), seed=1)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def client(als, reverse_als, stage, tmp_path, store, settings_in):
    from fastapi.testclient import TestClient

    from serving.app import create_app

    forward, reverse = HandPointer(stage(als, "7")), HandPointer(stage(reverse_als, "2"))
    app = create_app(settings_in(), dependencies=store.dependencies(), pointer=forward, reverse_pointer=reverse)
    with TestClient(app) as client:
        yield client


def people(client, item_id: str, **params) -> dict:
    answered = client.get(f"/api/items/{item_id}/recommended-users", params=params)
    assert answered.status_code == 200, answered.text
    return answered.json()


def group(user_id: str) -> int:
    return int(user_id[1:]) % 3


def test_the_reverse_model_finds_the_people_whose_taste_the_item_meets(client):
    body = people(client, "i4", limit=8)
    assert (body["method_used"], body["model_name"], body["model_version"]) == ("als", "recommender-reverse", "2")
    assert [group(user["user_id"]) for user in body["users"]].count(1) >= 7


def test_people_who_know_the_item_are_left_out_unless_wanted(client, interactions):
    index = interactions.items.find("i4")
    know = set(interactions.users.id_of(interactions.user_index[interactions.item_index == index]))
    listed = {user["user_id"] for user in people(client, "i4", limit=60)["users"]}
    assert not listed & know
    assert know <= {user["user_id"] for user in people(client, "i4", limit=60, exclude_known=False)["users"]}


def test_a_role_and_opting_out_narrow_the_audience(client, store):
    store.roles["nurse"] = frozenset({"u1", "u2", "u4", "nobody-known"})
    store.out = frozenset({"u4"})
    assert {user["user_id"] for user in people(client, "i3", limit=60, role="nurse")["users"]} <= {"u1", "u2"}
    assert people(client, "i3", role="no-such-role")["users"] == []


def test_segments_are_those_of_the_evaluation(client):
    assert segments_of(np.array([0, 4, 5, 19, 20, 99])).tolist() == ["cold", "cold", "warm", "warm", "hot", "hot"]
    assert people(client, "i3", segment="hot")["users"] == []
    assert people(client, "i3", segment="warm")["users"]
    assert client.get("/api/items/i3/recommended-users", params={"segment": "tepid"}).status_code == 422


def test_an_item_that_fewer_than_five_people_liked_is_judged_by_its_content(client, store):
    """A new item of the catalogue, told by its category alone."""
    store.items["new"] = Item("new", "New", "", ("c2",))
    body = people(client, "new", limit=10)
    assert (body["method_used"], body["model_name"], body["model_version"]) == ("content", "recommender", "7")
    assert {group(user["user_id"]) for user in body["users"]} == {2}


def test_an_item_of_which_nothing_is_known_goes_to_the_most_active(client, store):
    store.items["mystery"] = Item("mystery")
    assert people(client, "mystery")["method_used"] == "activity"


def test_a_trained_item_with_few_likes_falls_back_to_content_too(als, stage, serve, interactions, catalogue):
    rows = interactions.to_frame()
    few = pd.concat([rows[rows.item_id != "i4"], rows[rows.item_id == "i4"].head(2)])
    model = ALS(ALSParams(factors=8)).fit(
        Interactions.from_frame(few, users=interactions.users, items=interactions.items), catalogue=catalogue
    )
    with serve(HandPointer(stage(model, "1"))) as client:
        body = people(client, "i4", limit=10)
    assert body["method_used"] == "content"
    assert {group(user["user_id"]) for user in body["users"]} == {1}


def test_an_unknown_item_is_not_found(client):
    answered = client.get("/api/items/nothing/recommended-users")
    assert (answered.status_code, answered.json()["type"]) == (404, "/problems/unknown-item")


def test_who_opted_out_stays_unnamed_while_the_database_is_away(client, store):
    store.out = frozenset({"u1", "u4"})
    before = people(client, "i7", limit=60)
    store.away = True
    assert people(client, "i7", limit=60) == before


def test_erased_people_are_never_named_even_while_the_database_is_away(client, store):
    for item_id in ("i7", "new"):  # by the reverse model, and by content
        store.items["new"] = Item("new", "New", "", ("c2",))
        named = [user["user_id"] for user in people(client, item_id, limit=6)["users"]]
        store.gone |= frozenset(named[:4])
        left = [user["user_id"] for user in people(client, item_id, limit=6)["users"]]
        assert len(left) == 6
        assert left[:2] == named[4:]
        assert not store.gone & set(left)
    store.away = True
    assert not store.gone & {user["user_id"] for user in people(client, "i7", limit=60)["users"]}
