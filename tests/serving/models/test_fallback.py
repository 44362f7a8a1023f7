"""While no version is Production, the service uses its own data, until the first promotion."""

from __future__ import annotations

import pytest

from serving.interfaces import History, Item
from serving.models.fallback import FallbackModels, fit_snapshot
from tests.serving.doubles import FakePointer, MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    """Six users: three cooks, three gardeners; and an item without any event."""
    store = MemoryStore()
    for name in ("pan", "pot", "knife", "spade", "rake", "seed", "untouched"):
        kitchen = name in ("pan", "pot", "knife")
        store.items[name] = Item(name, f"The {name}", "kitchen things" if kitchen else "garden things")
    for user, things in {
        "ann": ("pan", "pot", "knife"),
        "ben": ("pan", "pot"),
        "cid": ("pan", "knife"),
        "dee": ("spade", "rake", "seed"),
        "eve": ("spade", "rake"),
        "fay": ("spade",),
    }.items():
        store.rows += [(user, thing, 1.0, 1_000 + turn) for turn, thing in enumerate(things)]
    return store


def test_without_production_lists_come_from_own_data(store, serve):
    with serve(FakePointer(), dependencies=store.dependencies()) as client:
        body = client.get("/api/recommendations", params={"user_id": "unknown", "limit": 2}).json()
        assert [item["item_id"] for item in body["items"]] == ["pan", "spade"]
        assert (body["model_version"], body["method_used"]) == (None, "popularity")
        ready = client.get("/health/ready")
        assert ready.status_code == 200
        assert "the service answers from its own data" in ready.json()["degraded"][0]
        model = client.get("/api/model").json()
        assert (model["version"], model["algorithm"], model["promotion"]) == (None, "own data", None)
        scores = client.post("/api/predict", json={"user_id": "x", "item_ids": ["pan", "untouched"]}).json()
        assert [item["score"] for item in scores["items"]] == [1.0, 0.0]


def test_fallback_models_serve_users_by_their_live_history(store, serve):
    with serve(FakePointer(), dependencies=store.dependencies()) as client:
        store.histories["gus"] = History(("spade",), (1.0,), (2_000,), version=1)
        body = client.get("/api/recommendations", params={"user_id": "gus", "limit": 1}).json()
        assert (body["method_used"], body["items"][0]["item_id"]) == ("graph", "rake")
        body = client.get("/api/recommendations", params={"user_id": "gus", "strategy": "content", "limit": 3}).json()
        assert body["method_used"] == "content"
        assert {item["item_id"] for item in body["items"]} <= {"rake", "seed", "untouched"}


def test_the_first_promotion_takes_over(store, serve, als, stage):
    pointer = FakePointer()
    with serve(pointer, dependencies=store.dependencies()) as client:
        assert client.get("/api/model").json()["version"] is None
        pointer.staged = stage(als, "1")
        client.app.state.service.versions.step()
        assert client.get("/api/model").json()["version"] == "1"
        body = client.get("/api/recommendations", params={"user_id": "u5"}).json()
        assert (body["model_version"], body["method_used"]) == ("1", "als")


def test_when_production_is_unset_fallback_models_serve_without_a_gap(store, serve, als, stage):
    pointer = FakePointer(stage(als, "1"))
    with serve(pointer, dependencies=store.dependencies()) as client:
        service = client.app.state.service
        assert service.fallback.served is None
        pointer.staged = pointer.last_good = None
        service.versions.step()
        body = client.get("/api/recommendations", params={"user_id": "unknown", "limit": 2}).json()
    assert [item["item_id"] for item in body["items"]] == ["pan", "spade"]


def test_fallback_models_follow_the_data_and_survive_an_unavailable_database(store):
    own = FallbackModels(store, 10.0, lambda: True)
    own.step()
    first = own.served
    own.step()
    assert own.served is first  # nothing changed
    store.rows += [(f"new{n}", "untouched", 1.0, 2_000) for n in range(9)]
    store.unavailable = True
    own.step()
    assert own.served is first
    store.unavailable = False
    own.step()
    assert own.served.item_ids[int(own.served.popularity.argmax())] == "untouched"


def test_fallback_models_are_not_fitted_while_a_version_serves_unless_one_is_requested(store):
    own = FallbackModels(store, 10.0, lambda: False)
    own.step()
    assert own.served is None
    own.request()
    own.step()
    assert own.served is not None


def test_items_without_any_event_are_listed_and_an_empty_database_is_not_ready(serve):
    store = MemoryStore()
    assert fit_snapshot(store.snapshot()) is None
    with serve(FakePointer(), dependencies=store.dependencies()) as client:
        assert client.get("/api/recommendations", params={"user_id": "a"}).status_code == 503
    store.items["only"] = Item("only", "The only one")
    with serve(FakePointer(), dependencies=store.dependencies()) as client:
        body = client.get("/api/recommendations", params={"user_id": "a"}).json()
    assert [item["item_id"] for item in body["items"]] == ["only"]
