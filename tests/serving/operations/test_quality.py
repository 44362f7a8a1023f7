"""Live quality: outcomes by version and method, what the lists are like, sessions; as figures and as metrics."""

from __future__ import annotations

import time

import pytest

from serving.operations.quality import WINDOW_MS, QualityMonitor, quality
from serving.store.db.reader import Reader
from tests.serving.doubles import FakePointer
from tests.serving.store.factories import wait_until


@pytest.fixture
def client(als, stage, serve, tmp_path):
    url = f"sqlite:///{tmp_path}/service.db"
    with serve(FakePointer(stage(als, "7")), database_url=url, quality_seconds=0) as client:
        yield client


def act(client, shown: dict, *kinds: str) -> None:
    for kind in kinds:
        about = {"user_id": shown["user_id"], "item_id": shown["items"][0]["item_id"], "interaction_type": kind}
        answer = client.post("/api/interactions", json={**about, "request_id": shown["request_id"]})
        assert answer.status_code == 201


def lists(client, *users: str) -> list[dict]:
    shown = [client.get("/api/recommendations", params={"user_id": user}).json() for user in users]
    reader = client.app.state.store.reader
    wait_until(lambda: sum(quality(reader, None, 0).lists.values()) == len(users))
    return shown


def test_outcomes_are_shares_of_lists_by_version_and_method(client):
    shown = lists(client, "u1", "u2", "u3", "a-newcomer")
    act(client, shown[0], "click", "save", "implement")
    act(client, shown[1], "click", "click")
    feedback = {"item_id": shown[3]["items"][0]["item_id"], "outcome": "like"}
    body = {"request_id": shown[3]["request_id"], "outcomes": [feedback]}
    assert client.post("/api/recommendations/feedback", json=body).status_code == 201
    app = client.app
    found = quality(app.state.store.reader, app.state.service.versions.served, 0)
    assert found.lists == {("7", "als"): 3, ("7", "popularity"): 1}
    assert found.outcomes == {
        ("7", "als", "click"): 2,
        ("7", "als", "save"): 1,
        ("7", "als", "implement"): 1,
        ("7", "als", "conversion"): 1,
        ("7", "popularity", "like"): 1,
    }
    assert 0 < found.diversity < 1
    assert found.novelty > 0
    assert 0 < found.coverage <= 1
    monitor = QualityMonitor(app.state.store.reader, lambda: app.state.service.versions.served, app.state.metrics, 1)
    monitor.refresh()
    text = client.get("/metrics").text
    share = 'recstage_live_outcome_share{method_used="als",outcome="click",version="7"}'
    assert f"{share} {2 / 3}" in text
    assert 'recstage_live_lists{method_used="popularity",version="7"} 1.0' in text
    assert f"recstage_live_diversity {found.diversity}" in text


def test_what_is_no_longer_shown_falls_to_zero(client, monkeypatch):
    lists(client, "u1")
    app = client.app
    monitor = QualityMonitor(app.state.store.reader, lambda: None, app.state.metrics, 1)
    monitor.refresh()
    assert 'recstage_live_lists{method_used="als",version="7"} 1.0' in client.get("/metrics").text
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * WINDOW_MS / 1000)
    monitor.refresh()
    text = client.get("/metrics").text
    assert 'recstage_live_lists{method_used="als",version="7"} 0.0' in text
    assert "recstage_live_diversity NaN" in text


def test_an_unavailable_database_leaves_the_gauges_as_they_are(client, tmp_path, caplog):
    from serving.store.db.connection import parse_url

    app = client.app
    lists(client, "u1")
    QualityMonitor(app.state.store.reader, lambda: None, app.state.metrics, 1).refresh()
    missing = Reader(parse_url(f"sqlite:///{tmp_path}/nowhere/service.db"))
    QualityMonitor(missing, lambda: None, app.state.metrics, 1).refresh()
    assert "live quality is not read" in caplog.text
    assert 'recstage_live_lists{method_used="als",version="7"} 1.0' in client.get("/metrics").text
