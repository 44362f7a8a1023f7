"""POST /api/rank: candidates of the caller in the order of the user's preference."""

from __future__ import annotations

import pytest

from serving.interfaces import History
from tests.serving.doubles import FakePointer, MemoryStore

ITEMS = ["i7", "i0", "i5", "i2", "i8"]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def client(als, stage, store, serve):
    with serve(FakePointer(stage(als, "7")), dependencies=store.dependencies()) as client:
        yield client


def rank(client, user_id: str = "u5", items: list[str] = ITEMS, **more) -> dict:
    answered = client.post("/api/rank", json={"user_id": user_id, "items": items, **more})
    assert answered.status_code == 200, answered.text
    return answered.json()


def ids(body: dict) -> list[str]:
    return [one["item_id"] for one in body["items"]]


def test_the_order_is_that_of_the_scores_which_are_those_of_predict(client):
    body = rank(client)
    predicted = client.post("/api/predict", json={"user_id": "u5", "item_ids": ITEMS}).json()["items"]
    wanted = sorted(predicted, key=lambda one: -one["score"])
    assert [(one["item_id"], one["score"]) for one in body["items"]] == [
        (one["item_id"], pytest.approx(one["score"])) for one in wanted
    ]
    assert (body["user_id"], body["method_used"], body["model_version"]) == ("u5", "als", "7")
    assert (body["degraded"], body["left_out"]) == (False, [])
    assert body["items"][0]["title"] == f"Title of {ids(body)[0]}"
    assert 0 <= body["diversity_score"] <= 1


def test_what_is_left_out_is_named_with_its_cause(client, store):
    store.hide("i7")
    store.interacted("u5", "i2")
    body = rank(
        client, items=[*ITEMS, "i39", "strange", "i1"], exclude=["i8"], exclude_seen=True, category=["c0", "c2"]
    )
    left_out = {one["item_id"]: one["cause"] for one in body["left_out"]}
    assert {item: left_out[item] for item in ("i7", "i39", "strange", "i8", "i2", "i1")} == {
        "i7": "hidden",
        "i39": "hidden",
        "strange": "unknown",
        "i8": "excluded",
        "i2": "seen",
        "i1": "filtered",
    }
    assert set(ids(body)) | set(left_out) == {*ITEMS, "i39", "strange", "i1"}


def test_all_left_out_is_an_empty_list(client):
    body = rank(client, items=["strange"])
    assert (body["items"], body["diversity_score"]) == ([], None)


def test_limit_repeats_reasons_and_diversity(client):
    whole = rank(client)
    assert ids(rank(client, limit=2)) == ids(whole)[:2]
    assert ids(rank(client, items=ITEMS * 3)) == ids(whole)
    assert all(one["reason"] for one in rank(client, explain=True)["items"])
    assert all(one.get("reason") is None for one in whole["items"])
    varied = rank(client, items=[f"i{n}" for n in range(20)], limit=6, **{"lambda": 0.1})
    plain = rank(client, items=[f"i{n}" for n in range(20)], limit=6)
    assert varied["diversity_score"] > plain["diversity_score"]


def test_unknown_users_and_those_who_opted_out_get_popularity_and_equal_scores_keep_the_callers_order(client, store):
    store.histories["u5"] = History(personal=False, version=3)
    for user in ("u5", "unknown"):
        body = rank(client, user, items=["i5", "i0"])
        assert (ids(body), body["method_used"]) == (["i0", "i5"], "popularity")


def test_the_list_is_stored_as_shown(client, store):
    body = rank(client, limit=2)
    (shown,) = store.impressions
    assert (shown.request_id, shown.user_id, list(shown.item_ids)) == (body["request_id"], "u5", ids(body))


def test_while_the_database_is_unavailable_it_is_degraded(client, store):
    store.unavailable = True
    assert rank(client)["degraded"] is True
