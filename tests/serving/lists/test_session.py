"""POST /api/recommendations/session: a list from a history that the request brings; nothing is stored unasked."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from tests.serving.doubles import FakePointer, MemoryStore
from tests.serving.store.factories import wait_until


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def client(als, stage, store, serve):
    with serve(FakePointer(stage(als, "7")), dependencies=store.dependencies()) as client:
        yield client


def session(client, *items, **more) -> dict:
    body = {"items": [one if isinstance(one, dict) else {"item_id": one} for one in items], **more}
    answered = client.post("/api/recommendations/session", json=body)
    assert answered.status_code == 200, answered.text
    return answered.json()


def ids(body: dict) -> list[str]:
    return [one["item_id"] for one in body["items"]]


def test_it_is_the_list_of_a_user_who_did_the_same(client, store):
    store.interacted("ann", "i1", "i4")
    known = client.get("/api/recommendations", params={"user_id": "ann"}).json()
    body = session(client, "i1", "i4")
    assert ids(body) == ids(known)
    assert (body["method_used"], body["model_version"], body["degraded"]) == ("als", "7", False)
    assert (body["user_id"], body["unknown_items"]) == (None, [])
    assert body["diversity_score"] == pytest.approx(known["diversity_score"])


def test_nothing_is_stored_and_no_history_is_read(client, store):
    session(client, "i1", "i4")
    assert (store.impressions, store.reads) == ([], 0)


def test_dismissed_items_are_left_out_and_are_no_liking(client):
    body = session(client, "i1", {"item_id": "i4", "weight": 0}, {"item_id": "i0", "weight": -1})
    assert not {"i1", "i4", "i0"} & set(ids(body))
    only = session(client, {"item_id": "i4", "weight": 0})
    assert (only["method_used"], "i4" in ids(only)) == ("popularity", False)
    assert "i1" in ids(session(client, "i1", exclude_seen=False, limit=40))


def test_what_was_said_last_of_an_item_counts_by_time_or_by_order(client):
    liked = {"item_id": "i4", "weight": 1, "occurred_at": "2026-11-20T18:15:00Z"}
    dismissed = {"item_id": "i4", "weight": 0, "occurred_at": "2026-11-20T18:14:00Z"}
    assert ids(session(client, "i1", liked, dismissed)) == ids(session(client, "i1", liked))
    assert session(client, {"item_id": "i4"}, {"item_id": "i4", "weight": 0})["method_used"] == "popularity"


def test_unknown_items_are_named_and_hidden_ones_not_listed(client, store):
    first = session(client, "i1", "strange")
    assert first["unknown_items"] == ["strange"]
    store.hide(ids(first)[0])
    assert ids(session(client, "i1", "strange"))[:3] == ids(first)[1:4]


def test_a_session_without_a_known_item_gets_popularity(client):
    body = session(client, "strange")
    assert (ids(body)[0], body["method_used"]) == ("i0", "popularity")


def test_parameters_are_those_of_a_list(client):
    plain = session(client, "i1", "i4")
    assert ids(session(client, "i1", "i4", limit=2)) == ids(plain)[:2]
    assert ids(plain)[0] not in ids(session(client, "i1", "i4", exclude=[ids(plain)[0]]))
    assert {int(item[1:]) % 3 for item in ids(session(client, "i1", "i4", category=["c2"]))} == {2}
    assert all(one["reason"] for one in session(client, "i1", "i4", explain=True)["items"])
    assert session(client, "i1", "i4", **{"lambda": 0.0})["diversity_score"] >= plain["diversity_score"]


def test_equal_sessions_are_computed_once(client, als, monkeypatch):
    first = session(client, "i1", "i4")
    monkeypatch.setattr(type(als), "rank_scored", lambda *_: 1 / 0)
    assert ids(session(client, "i1", "i4")) == ids(first)
    assert session(client, "i4")["method_used"] == "popularity"


def test_asked_for_it_is_stored_once_as_events_and_as_shown(als, stage, settings_in, tmp_path):
    settings = settings_in(database_url=f"sqlite:///{tmp_path}/service.db")
    app = create_app(settings, pointer=FakePointer(stage(als, "7")))
    with TestClient(app, raise_server_exceptions=False) as client:
        for items in (("i1",), ("i1", {"item_id": "i4", "weight": 0})):
            body = session(client, *items, store_as="visitor", store_type="like")
            assert body["user_id"] == "visitor"
        events = client.get("/api/users/visitor/history").json()["events"]
        found = {(one["item_id"], one["interaction_type"]) for one in events}
        assert (found, len(events)) == ({("i1", "like"), ("i4", "dismiss")}, 2)
        listed = ids(body)[0]
        wait_until(lambda: client.get(f"/api/items/{listed}/stats").json().get("shown") == 2)


def test_without_a_database_nothing_can_be_stored(als, stage, serve):
    with serve(FakePointer(stage(als, "7"))) as client:
        body = {"items": [{"item_id": "i1"}], "store_as": "visitor"}
        assert client.post("/api/recommendations/session", json=body).status_code == 503
