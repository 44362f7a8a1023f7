"""Scores of given items for one user."""

from __future__ import annotations

import numpy as np
import pytest

from recstage.data.interactions import Users
from serving.interfaces import History
from tests.serving.doubles import FakePointer, MemoryStore

ITEMS = ["i7", "i0", "i5"]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def client(als, stage, store, serve):
    with serve(FakePointer(stage(als, "7")), dependencies=store.dependencies()) as client:
        yield client


def predict(client, user_id: str, item_ids: list[str] = ITEMS, **parameters: str) -> dict:
    answered = client.post("/api/predict", json={"user_id": user_id, "item_ids": item_ids, **parameters})
    assert answered.status_code == 200, answered.text
    return answered.json()


def scores(body: dict) -> list[float]:
    return [one["score"] for one in body["items"]]


def test_scores_are_the_models_in_the_order_asked(client, als):
    body = predict(client, "u5")
    wanted = als.score(als.known(np.array(["u5"], dtype=object)), als.items.index_of(ITEMS))[0]
    assert [one["item_id"] for one in body["items"]] == ITEMS
    assert scores(body) == pytest.approx(wanted.tolist())
    assert (body["user_id"], body["method_used"], body["model_version"], body["degraded"]) == ("u5", "als", "7", False)


def test_scores_are_those_of_the_list(client):
    listed = client.get("/api/recommendations", params={"user_id": "u5", "limit": 4}).json()["items"]
    found = predict(client, "u5", [one["item_id"] for one in listed])
    assert scores(found) == pytest.approx([one["score"] for one in listed])


def test_the_live_history_counts(client, store, als, interactions):
    store.interacted("new-user", "i1", "i4")
    users = Users.unknown(interactions.n_items, interactions.items.index_of(["i1", "i4"]))
    wanted = als.score(users, als.items.index_of(ITEMS))[0]
    assert scores(predict(client, "new-user")) == pytest.approx(wanted.tolist())


def test_an_unknown_user_and_one_who_opted_out_get_popularity(client, store):
    store.histories["u5"] = History(personal=False, version=3)
    unknown, opted_out = predict(client, "unknown"), predict(client, "u5")
    assert unknown["method_used"] == opted_out["method_used"] == "popularity"
    assert scores(unknown) == scores(opted_out)
    assert max(unknown["items"], key=lambda one: one["score"])["item_id"] == "i0"


def test_the_strategy_is_heard_and_one_that_the_version_lacks_is_answered_as_auto(client):
    assert predict(client, "u5", strategy="popularity")["method_used"] == "popularity"
    assert predict(client, "u5", strategy="hybrid")["method_used"] == "als"


def test_a_model_that_raises_is_followed_by_popularity(client, als, monkeypatch):
    monkeypatch.setattr(type(als), "score", lambda *_: 1 / 0)
    assert predict(client, "u5")["method_used"] == "popularity"


def test_while_the_database_is_unavailable_scores_are_degraded(client, store):
    store.unavailable = True
    body = predict(client, "u5")
    assert (body["method_used"], body["degraded"]) == ("als", True)
