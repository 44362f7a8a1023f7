"""POST /api/recommendations/batch and /api/predict/batch: many users, each as if they had asked alone."""

from __future__ import annotations

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recstage.models.baselines.popularity import Popularity
from serving.app import create_app
from serving.interfaces import NO_HISTORY, HiddenItems, History
from serving.lists.batch import recommend_many, score_many
from serving.models.loaded_model import LoadedModel
from serving.recommend.ranking import recommend
from serving.recommend.request import RecommendationRequest
from tests.serving.doubles import FakePointer, MemoryStore

USERS = ["u5", "u6", "new", "unknown", "u7"]


@pytest.fixture
def store() -> MemoryStore:
    found = MemoryStore()
    found.interacted("new", "i1", "i4")
    found.interacted("u6", "i2", weight=0.0)
    found.histories["u7"] = History(personal=False, version=3)
    return found


@pytest.fixture
def client(als, stage, store, serve):
    with serve(FakePointer(stage(als, "7")), dependencies=store.dependencies()) as client:
        yield client


def batch(client, user_ids: list[str] = USERS, **more) -> list[dict]:
    answered = client.post("/api/recommendations/batch", json={"user_ids": user_ids, **more})
    assert answered.status_code == 200, answered.text
    return answered.json()["lists"]


def without_request(body: dict) -> dict:
    return {name: value for name, value in body.items() if name != "request_id"}


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"limit": 3, "explain": True},
        {"lambda": 0.3, "limit": 5},
        {"strategy": "popularity"},
        {"exclude_seen": False},
    ],
    ids=str,
)
def test_each_list_is_the_one_that_the_user_would_get_alone(als, stage, serve, store, parameters):
    with serve(FakePointer(stage(als, "7")), dependencies=store.dependencies(), cache_size=0) as client:
        lists = batch(client, **parameters)
        assert [one["user_id"] for one in lists] == USERS
        for one in lists:
            alone = client.get("/api/recommendations", params={"user_id": one["user_id"], **parameters}).json()
            scores = [item.pop("score") for item in one["items"]]
            assert scores == pytest.approx([item.pop("score") for item in alone["items"]], rel=1e-4, abs=1e-6)
            diversity = one.pop("diversity_score")
            assert diversity == pytest.approx(alone.pop("diversity_score"), abs=1e-6)
            assert without_request(one) == without_request(alone)


def test_a_model_is_called_once_for_all_users(als, client, monkeypatch):
    calls = []
    rank = type(als).rank_scored

    def counted(self, users, *arguments):
        calls.append(len(users))
        return rank(self, users, *arguments)

    monkeypatch.setattr(type(als), "rank_scored", counted)
    batch(client)
    assert calls == [3]  # u5, u6 and the new user; the others are ranked by popularity


def test_a_model_that_raises_is_followed_by_popularity_for_all(als, client, monkeypatch):
    monkeypatch.setattr(type(als), "rank_scored", lambda *_: 1 / 0)
    assert {one["method_used"] for one in batch(client)} == {"popularity"}


def test_lists_come_from_the_cache_of_single_requests_and_go_there(client, als, monkeypatch):
    before = without_request(client.get("/api/recommendations", params={"user_id": "u5"}).json())
    batch(client)
    monkeypatch.setattr(type(als), "rank_scored", lambda *_: 1 / 0)
    lists = batch(client)
    assert without_request(lists[0]) == before
    alone = client.get("/api/recommendations", params={"user_id": "u6"}).json()
    assert without_request(lists[1]) == without_request(alone)
    assert alone["method_used"] == "als"


def test_each_list_is_stored_as_shown_under_its_own_request_unless_it_is_not_shown(client, store):
    lists = batch(client, ["u5", "u6", "u7", "u5"])
    assert [one["user_id"] for one in lists] == ["u5", "u6", "u7"]
    assert len({one["request_id"] for one in lists}) == 3
    assert [(one.request_id, one.user_id) for one in store.impressions] == [
        (one["request_id"], one["user_id"])
        for one in lists[:2]  # u7 opted out
    ]
    batch(client, ["u5"], shown=False)
    assert len(store.impressions) == 2


def test_while_the_database_is_unavailable_lists_are_degraded(client, store):
    store.unavailable = True
    lists = batch(client, ["u5", "u6"])
    assert [one["degraded"] for one in lists] == [True, True]
    assert store.reads == 0


def test_scores_for_many_users_are_those_of_each_alone(client):
    items = ["i7", "i0", "i5"]
    answered = client.post("/api/predict/batch", json={"user_ids": USERS, "item_ids": items})
    assert answered.status_code == 200, answered.text
    body = answered.json()
    assert (body["item_ids"], body["model_version"], body["degraded"]) == (items, "7", False)
    for one in body["users"]:
        alone = client.post("/api/predict", json={"user_id": one["user_id"], "item_ids": items}).json()
        assert one["scores"] == pytest.approx([item["score"] for item in alone["items"]], rel=1e-4, abs=1e-6)
        assert one["method_used"] == alone["method_used"]


def test_users_whom_no_model_scores_go_on_to_the_next_of_the_chain(als, popularity, interactions, catalogue):
    """The first model knows trained users alone, the second any user."""
    second = Popularity().fit(interactions, catalogue=catalogue)
    first = type("Trained", (type(als),), {"folds_in": False, "name": "trained"})(als.params)
    first.attach(interactions, catalogue)._load_state(als.state())
    served = LoadedModel.fallback("test", [first, als, second], interactions, catalogue)
    histories = [("u5", NO_HISTORY), ("new", History(("i1", "i4"), (1.0, 1.0), (5, 6), 1)), ("unknown", NO_HISTORY)]
    request = RecommendationRequest("")
    found = recommend_many(served, request, histories, HiddenItems())
    assert [one.method for one in found] == ["trained", "als", "popularity"]
    for (user_id, history), one in zip(histories, found, strict=True):
        alone = recommend(served, RecommendationRequest(user_id), history)
        assert one.items.tolist() == alone.items.tolist()
    scores, methods = score_many(served, "auto", histories, np.array([1, 2], np.int32))
    assert (scores.shape, methods) == ((3, 2), ["trained", "als", "popularity"])


def test_business_rules_and_filters_hold_for_every_list(als, stage, settings_in, tmp_path):
    settings = settings_in(database_url=f"sqlite:///{tmp_path}/service.db")
    app = create_app(settings, pointer=FakePointer(stage(als, "7")))
    with TestClient(app, raise_server_exceptions=False) as client:
        excluded = {"action": {"type": "exclude", "filter": "item_id=i0"}}
        assert client.post("/api/rules", json={"name": "without-i0", **excluded}).is_success
        lists = batch(client, ["u5", "unknown"], filter=["category=c0|c1"], exclude_seen=False)
        for one in lists:
            assert one["rules_applied"] == ["without-i0"]
            assert "i0" not in [item["item_id"] for item in one["items"]]
            assert {int(item["item_id"][1:]) % 3 for item in one["items"]} <= {0, 1}
        pinned = {"action": {"type": "pin", "item_id": "i5", "rank": 2}, "target": {"lists": ["batch", "session"]}}
        assert client.post("/api/rules", json={"name": "i5-second", **pinned}).is_success
        for one in batch(client, ["u5", "unknown"], exclude_seen=False):
            assert one["items"][1]["item_id"] == "i5"
            assert "i5-second" in one["rules_applied"]
        session = client.post("/api/recommendations/session", json={"items": [{"item_id": "i1"}]}).json()
        assert session["items"][1]["item_id"] == "i5"
        alone = client.get("/api/recommendations", params={"user_id": "u5", "exclude_seen": False}).json()
        assert alone["rules_applied"] == ["without-i0"]


@pytest.mark.parametrize("slow", [False, True])
def test_more_users_than_are_ranked_together_each_get_their_own_list(als, stage, serve, store, monkeypatch, slow):
    monkeypatch.setattr("serving.lists.service.TOGETHER", 2)
    users = ["u5", "u6", "new", "unknown", "u7", "u8", "u9"]
    settings = {"cache_size": 0, "slow_model_ms": 1e-6} if slow else {"cache_size": 0}
    with serve(FakePointer(stage(als, "7")), dependencies=store.dependencies(), **settings) as client:
        alone = [client.get("/api/recommendations", params={"user_id": one}).json() for one in users]
        for together, own in zip(batch(client, users), alone, strict=True):
            assert [item["item_id"] for item in together["items"]] == [item["item_id"] for item in own["items"]]
