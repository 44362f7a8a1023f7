"""GET /api/popular, /api/trending, /api/latest: from live events and the catalogue, without what is hidden."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.store.repositories.events import now_ms
from tests.serving.doubles import FakePointer
from tests.serving.store.factories import wait_until

DAY = 86_400_000


@pytest.fixture
def pointer(als, stage) -> FakePointer:
    return FakePointer(stage(als, "7"))


@pytest.fixture
def client(pointer, settings_in, tmp_path):
    settings = settings_in(database_url=f"sqlite:///{tmp_path}/service.db", activity_refresh_seconds=0.001)
    with TestClient(create_app(settings, pointer=pointer), raise_server_exceptions=False) as found:
        yield found


def send(client, *events: tuple[str, str], kind: str = "click", ago: int = 0) -> None:
    """Store an event of each (user, item), so many milliseconds ago."""
    import datetime

    at = datetime.datetime.fromtimestamp((now_ms() - ago) / 1000, datetime.UTC).isoformat()
    body = [{"user_id": user, "item_id": item, "interaction_type": kind, "occurred_at": at} for user, item in events]
    assert client.post("/api/interactions", json={"events": body}).status_code == 201


def listed(client, kind: str, **params) -> dict:
    response = client.get(f"/api/{kind}", params=params)
    assert response.status_code == 200, response.text
    return response.json()


def ids(body: dict) -> list[str]:
    return [one["item_id"] for one in body["items"]]


def until(client, kind: str, wanted: list[str], **params) -> dict:
    """The list, once the events are counted."""
    wait_until(lambda: ids(listed(client, kind, **params)) == wanted)
    return listed(client, kind, **params)


def test_popular_items_are_those_that_most_users_chose_each_user_once(client):
    send(client, ("ann", "i1"), ("bob", "i1"), ("cid", "i2"), ("cid", "i2"), ("cid", "i2"), ("ann", "i3"))
    send(client, ("bob", "i3"), kind="like")
    body = until(client, "popular", ["i3", "i1", "i2"])
    assert (body["method_used"], body["model_version"], body["degraded"], body["user_id"]) == (
        "popular",
        None,
        False,
        None,
    )
    assert body["items"][0]["score"] == pytest.approx(1.1)
    assert body["items"][0]["title"] == "Title of i3"
    assert 0 < body["diversity_score"] <= 1


def test_an_event_counts_less_the_longer_ago_and_not_at_all_outside_the_window(client):
    send(client, ("ann", "i1"), ("bob", "i1"), ago=6 * DAY)
    send(client, ("ann", "i2"))
    send(client, ("ann", "i3"), ago=8 * DAY)
    until(client, "popular", ["i2", "i1"])
    until(client, "popular", ["i2"], window="day")
    until(client, "popular", ["i1", "i2", "i3"], window="month")


def test_trending_items_gained_over_the_window_before(client):
    send(client, *[(f"old{n}", "i1") for n in range(9)], ago=30 * 3_600_000)
    send(client, *[(f"new{n}", "i1") for n in range(3)], *[(f"new{n}", "i2") for n in range(3)])
    body = until(client, "trending", ["i2"], window="day", explain=True)
    assert body["method_used"] == "trending"
    assert body["items"][0]["reason"] == "Users began to choose it in the last day."
    send(client, *[(f"more{n}", "i1") for n in range(20)])
    body = until(client, "trending", ["i1", "i2"], window="day", explain=True)
    assert body["items"][0]["reason"] == "Users chose it 2.6 times as much as in the day before."


def test_without_events_they_are_what_was_popular_in_training(client):
    for kind in ("popular", "trending"):
        body = listed(client, kind, limit=3)
        assert ids(body)[0] == "i0"
        assert (body["method_used"], body["model_version"]) == ("popularity", "7")


def test_hidden_unavailable_and_excluded_items_are_on_no_list(client):
    send(client, ("ann", "i1"), ("ann", "i2"), ("ann", "i3"), ("ann", "i39"))
    until(client, "popular", ["i1", "i2", "i3"])
    assert client.patch("/api/items/i2", json={"hidden": True}).status_code == 200
    assert ids(listed(client, "popular")) == ["i1", "i3"]
    assert ids(listed(client, "trending", exclude="i1")) == ["i3"]
    assert client.delete("/api/items/i3").status_code == 204
    assert ids(listed(client, "popular")) == ["i1"]


def test_latest_items_are_those_known_last_and_those_of_events_alone_are_not(client):
    send(client, ("ann", "by event"))
    assert client.post("/api/items", json={"item_id": "fresh", "title": "New"}).status_code == 201
    body = listed(client, "latest")
    assert ids(body) == ["fresh"]
    assert (body["items"][0]["title"], body["method_used"]) == ("New", "latest")
    assert body["items"][0]["score"] == pytest.approx(1, abs=0.01)
    assert ids(listed(client, "latest", window="hour")) == ["fresh"]


def test_a_category_is_that_of_the_service_where_it_has_one_else_that_of_the_version(client):
    send(client, ("ann", "i1"), ("ann", "i2"), ("ann", "i4"), ("ann", "new"))
    client.post("/api/items", json={"item_id": "new", "categories": ["c1", "Fresh"]})
    client.post("/api/items", json={"item_id": "i4", "title": "Moved", "categories": ["Fresh"]})
    body = until(client, "popular", ["i1", "new"], category="c1")
    assert ids(listed(client, "popular", category="Fresh")) == ["i4", "new"]
    assert [one["title"] for one in listed(client, "popular", category="Fresh")["items"]] == ["Moved", None]
    assert ids(listed(client, "popular", category=["Fresh", "c2"])) == ["i2", "i4", "new"]
    assert [one["title"] for one in body["items"]] == ["Title of i1", None]


def test_a_category_that_no_item_has_is_refused_with_near_spellings(client):
    response = client.get("/api/popular", params={"category": "c22"})
    assert response.status_code == 422
    assert response.json()["type"] == "/problems/unknown-category"
    assert response.json()["detail"].startswith("No item has the category 'c22'. Did you mean 'c2'")


def test_a_list_shown_to_a_user_is_stored_and_one_shown_to_no_user_is_not(client):
    send(client, ("ann", "i1"))
    until(client, "popular", ["i1"])
    assert listed(client, "popular")["user_id"] is None
    assert listed(client, "popular", user_id="bob")["user_id"] == "bob"
    wait_until(lambda: client.get("/api/items/i1/stats").json()["shown"] == 1)
    client.put("/api/users/cid/profile", json={"opted_out": True})
    listed(client, "popular", user_id="cid")
    listed(client, "popular", user_id="dan")
    wait_until(lambda: client.get("/api/items/i1/stats").json()["shown"] == 2)


def test_they_need_no_model(client, settings_in, tmp_path):
    settings = settings_in(database_url=f"sqlite:///{tmp_path}/other.db", activity_refresh_seconds=0.001)
    with TestClient(create_app(settings, pointer=FakePointer()), raise_server_exceptions=False) as other:
        assert listed(other, "popular")["items"] == []
        send(other, ("ann", "i1"))
        body = until(other, "popular", ["i1"])
        assert (body["model_version"], body["diversity_score"]) == (None, None)
        assert other.get("/api/latest").json()["items"] == []


def test_erased_users_do_not_count(client):
    send(client, ("ann", "i1"), ("bob", "i1"), ("ann", "i2"))
    until(client, "popular", ["i1", "i2"])
    assert client.delete("/api/users/ann").status_code == 200
    until(client, "popular", ["i1"])
