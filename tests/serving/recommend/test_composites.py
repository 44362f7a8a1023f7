"""A bundle of several models: each can be requested by name, a part that fails is left out."""

from __future__ import annotations

import pytest

from recstage.models.content.model import Content
from recstage.models.hybrid import Hybrid, HybridParams
from serving.interfaces import History, Item
from tests.serving.doubles import FakePointer, MemoryStore


@pytest.fixture(scope="module")
def hybrid(interactions, catalogue) -> Hybrid:
    params = HybridParams(components=("content", "graph", "popularity", "als"), warm=("als",), hot=("als",))
    return Hybrid(params).fit(interactions, catalogue=catalogue, seed=1)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def client(hybrid, stage, store, serve):
    with serve(FakePointer(stage(hybrid, "3")), dependencies=store.dependencies()) as client:
        yield client


def ask(client, user_id: str, **params) -> dict:
    answered = client.get("/api/recommendations", params={"user_id": user_id, **params})
    assert answered.status_code == 200, answered.text
    return answered.json()


def ids(body: dict) -> list[str]:
    return [item["item_id"] for item in body["items"]]


def test_the_method_names_the_part_used(client, store):
    assert ask(client, "u5")["method_used"] == "hybrid:als"  # seven liked items: warm
    store.interacted("new-user", "i2")
    assert ask(client, "new-user")["method_used"] == "hybrid:content+graph+popularity"
    assert ask(client, "unknown")["method_used"] == "popularity"


@pytest.mark.parametrize("strategy", ["als", "content", "graph"])
def test_each_part_can_be_asked_by_its_name(client, hybrid, strategy):
    body = ask(client, "u5", strategy=strategy, limit=5)
    wanted = hybrid.parts_[strategy].recommend("u5", 5)
    assert (body["method_used"], body["model_version"]) == (strategy, "3")
    assert ids(body) == wanted.item_ids
    assert strategy in client.get("/api/model?details=true").json()["methods"]


def test_reasons_come_from_the_part_used(client):
    als, content = (ask(client, "u5", strategy=name, explain=True, limit=1)["items"][0] for name in ("als", "content"))
    assert als["reason"].startswith("You chose ")
    assert content["reason"].startswith("It has in common with what you chose: ")


def test_a_part_that_fails_is_left_out(client, monkeypatch):
    def broken(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("recstage.models.factorization.als.ALS.score", broken)
    body = ask(client, "u5")
    assert body["method_used"] == "hybrid:content"
    assert len(body["items"]) == 10
    assert ask(client, "u5", strategy="als")["method_used"] == "hybrid:content"


def test_declared_preferences_are_served_by_the_content_model(client, store):
    store.histories["fan"] = History(version=1, categories=("c2",))
    body = ask(client, "fan", limit=5)
    assert body["method_used"] == "content"
    assert {int(item[1:]) % 3 for item in ids(body)} == {2}


def test_a_new_item_finds_its_users_by_its_text(client, store, hybrid):
    assert isinstance(hybrid.parts_["content"], Content)
    store.items["new"] = Item("new", "", "about group1 things")
    body = client.get("/api/items/new/recommended-users", params={"limit": 5}).json()
    assert body["method_used"] == "content"
    assert {int(user["user_id"][1:]) % 3 for user in body["users"]} == {1}
