"""GET /api/users/{user_id}/patterns: stored, refreshed by events, erased with the user."""

from __future__ import annotations

import sqlite3
import time

import pytest

from serving.patterns import keeper
from tests.serving.store.factories import wait_until


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(keeper, "REFRESH_SECONDS", 0.02)


@pytest.fixture
def stored(sqlite_url):
    """Users whose patterns are in the database, and what those were made from."""

    def read() -> dict[str, str]:
        with sqlite3.connect(sqlite_url.database) as connection:
            return dict(connection.execute("SELECT user_id, made_from FROM user_patterns"))

    return read


def send(client, *items: str, user: str = "ann", kind: str = "like") -> None:
    events = [{"user_id": user, "item_id": item, "interaction_type": kind} for item in items]
    assert client.post("/api/interactions", json={"events": events}).status_code == 201


def patterns(client, user: str = "ann") -> dict:
    answered = client.get(f"/api/users/{user}/patterns")
    assert answered.status_code == 200, answered.text
    return answered.json()


def test_events_refresh_what_is_stored_without_anybody_reading_it(client, stored):
    send(client, "i1")
    wait_until(lambda: "ann" in stored())
    before = stored()["ann"]
    send(client, "i2")
    wait_until(lambda: stored()["ann"] != before)


def test_taste_and_activity_follow_events_and_the_catalogue(client):
    for item, category in (("i1", "drama"), ("i2", "comedy")):
        assert client.post("/api/items", json={"item_id": item, "title": item, "categories": [category]}).is_success
    send(client, "i1")
    assert patterns(client)["taste"] == {"drama": 1.0}
    send(client, "i2")
    found = patterns(client)
    assert found["taste"] == {"comedy": 0.5, "drama": 0.5}
    assert (found["events"], found["by_type"], found["liked"], found["active_days"]) == (2, {"like": 2}, 2, 1)
    assert client.patch("/api/items/i2", json={"categories": ["drama"]}).is_success
    assert patterns(client)["taste"] == {"drama": 1.0}


def test_what_did_not_change_is_read_as_it_was_stored(client, stored):
    send(client, "i1")
    wait_until(lambda: "ann" in stored())
    first = patterns(client)
    time.sleep(0.01)  # what is made anew has another time
    assert patterns(client) == first


def test_an_erased_user_and_one_who_opted_out_leave_no_patterns(client, stored):
    send(client, "i1", "i2")
    send(client, "i1", user="bob")
    wait_until(lambda: {"ann", "bob"} <= set(stored()))
    assert client.delete("/api/users/ann").json()["removed"]["user_patterns"] == 1
    assert client.get("/api/users/ann/patterns").status_code == 404
    client.put("/api/users/bob/profile", json={"opted_out": True})
    found = patterns(client, "bob")
    assert (found["taste"], found["events"], found["last_at"]) == ({}, 0, None)
    assert stored() == {}
