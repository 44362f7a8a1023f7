"""A service with a real streaming replica: own writes at once, statistics from the replica, and what is told."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.store.admin import migrate
from serving.store.db.connection import parse_url
from tests.postgres_servers import primary, replica
from tests.serving.store.factories import event as an_event
from tests.serving.store.factories import record, settings_for, wait_until

pytestmark = pytest.mark.integration
PATIENCE_SECONDS = 120.0
LIKE = {"user_id": "ann", "item_id": "film", "interaction_type": "like"}


@pytest.fixture(scope="module")
def servers():
    with primary("recstage") as first, replica(first) as second:
        yield first, second


@pytest.fixture
def client(servers, tmp_path):
    first, second = servers
    url = parse_url(first.url())
    migrate.upgrade(url, with_backup=False)
    settings = settings_for(url, tmp_path, read_database_url=second.url(), read_max_lag_seconds=3)
    with TestClient(create_app(settings), raise_server_exceptions=False) as found:
        wait_until(lambda: found.app.state.store.replica.trouble is None, PATIENCE_SECONDS)
        yield found


def conditions(client) -> dict[str, str]:
    return {one["name"]: one["text"] for one in client.get("/api/model").json()["conditions"]}


def clicks(client, item: str) -> int:
    return client.get(f"/api/items/{item}/stats").json()["counts"].get("like", 0)


def listed(client, user: str) -> list[str]:
    answer = client.get("/api/recommendations", params={"user_id": user, "limit": 50})
    return [one["item_id"] for one in answer.json()["items"]]


def test_own_writes_are_seen_at_once_while_the_replica_stands_still_and_it_is_told_when_it_is_behind(servers, client):
    first, second = servers
    record(parse_url(first.url()), *(an_event(f"u{n}", item) for n in range(3) for item in ("film", "book", "play")))
    client.app.state.service.fallback.step()
    assert "film" in listed(client, "ann")
    wait_until(lambda: client.get("/api/items/film/stats").json().get("total") == 3, PATIENCE_SECONDS)
    second.execute("SELECT pg_wal_replay_pause()")
    try:
        assert client.post("/api/interactions", json=LIKE).status_code == 201
        assert "film" not in listed(client, "ann")
        assert clicks(client, "film") == 0  # of the replica, which stands still
        wait_until(lambda: "replica-unused" in conditions(client), PATIENCE_SECONDS)
        assert conditions(client)["replica-unused"].endswith("seconds behind")
        assert clicks(client, "film") == 1  # of the primary
        assert client.app.state.metrics.replica_lag._value.get() > 3
    finally:
        second.execute("SELECT pg_wal_replay_resume()")
    wait_until(lambda: "replica-unused" not in conditions(client), PATIENCE_SECONDS)
    wait_until(lambda: clicks(client, "film") == 1, PATIENCE_SECONDS)


def test_a_replica_that_goes_away_is_answered_for_by_the_primary_until_it_is_back(servers, client):
    _first, second = servers
    before = clicks(client, "film")
    second.stop("immediate")
    try:
        assert clicks(client, "film") == before
        wait_until(lambda: "replica-unused" in conditions(client), PATIENCE_SECONDS)
        assert "it does not answer" in conditions(client)["replica-unused"]
        assert client.get("/health/ready").status_code == 200
    finally:
        second.start()
    wait_until(lambda: "replica-unused" not in conditions(client), PATIENCE_SECONDS)
