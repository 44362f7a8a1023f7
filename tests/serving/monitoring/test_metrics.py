"""The metrics of a running service: each series moves with what it counts."""

from __future__ import annotations

import time

import pytest

from serving.models.repository import PollResult
from tests.serving.doubles import FakePointer, MemoryStore

LIST = "/api/recommendations"


@pytest.fixture
def pointer(als, stage) -> FakePointer:
    pointer = FakePointer(stage(als, "1"))
    pointer.poll_result = PollResult(time.time() - 30, "1")
    return pointer


@pytest.fixture
def client(pointer, serve):
    with serve(pointer, dependencies=MemoryStore().dependencies()) as client:
        yield client


def value(client, series: str) -> float:
    """The value of one series; 0 where it is not there."""
    for line in client.get("/metrics").text.splitlines():
        if line.startswith(series + " "):
            return float(line.split()[-1])
    return 0.0


def test_requests_are_timed_by_route_method_and_status_and_never_by_what_was_asked(client):
    client.get(LIST, params={"user_id": "u5"})
    client.get(LIST, params={"user_id": "u5", "limit": -1})
    client.post("/api/predict", json={"user_id": "u5", "item_ids": ["i1"]})
    client.get("/api/items/a-private-item/recommended-users")
    client.get("/api/no/such/a-private-path")
    for route, method, status in (
        (LIST, "GET", 200),
        (LIST, "GET", 422),
        ("/api/predict", "POST", 200),
        ("/api/items/{item_id:id}/recommended-users", "GET", 404),
        ("(unmatched)", "GET", 404),
    ):
        series = f'recstage_request_seconds_count{{method="{method}",route="{route}",status="{status}"}}'
        assert value(client, series) == 1, series
    assert "private" not in client.get("/metrics").text


def test_lists_are_counted_by_the_model_used_with_a_histogram_of_their_best_scores(client):
    for user_id in ("u5", "u6", "unknown"):
        assert 0 < client.get(LIST, params={"user_id": user_id}).json()["items"][0]["score"] < 2
    assert value(client, 'recstage_recommendations_total{method_used="als"}') == 2
    assert value(client, 'recstage_recommendations_total{method_used="popularity"}') == 1
    assert value(client, "recstage_best_score_count") == 3
    assert value(client, 'recstage_best_score_bucket{le="0.0"}') == 0
    assert value(client, 'recstage_best_score_bucket{le="2.0"}') == 3


def test_cache_hits_and_misses_are_counted(client):
    for _ in range(3):
        client.get(LIST, params={"user_id": "u5"})
    assert value(client, 'recstage_cache_total{outcome="miss"}') == 1
    assert value(client, 'recstage_cache_total{outcome="hit"}') == 2


def test_a_model_that_fails_is_a_fallback(client, als, monkeypatch):
    monkeypatch.setattr(type(als), "retrieve", lambda *_: 1 / 0)
    assert client.get(LIST, params={"user_id": "u5"}).json()["method_used"] == "popularity"
    assert value(client, 'recstage_fallbacks_total{reason="model-failed",why="model-failed"}') == 1


def test_swaps_are_counted_by_their_outcome_and_timed(client, pointer, popularity, stage):
    manager = client.app.state.service.versions
    manager.stop()  # from here on the test calls step
    began = time.time()
    pointer.staged = stage(popularity, "2")
    manager.step()
    pointer.staged = stage(popularity, "3")
    (pointer.staged.folder / "state.npz").write_bytes(b"")
    manager.step()
    swaps = 'recstage_model_swaps_total{name="recommender",outcome="%s"}'
    assert value(client, swaps.replace("%s", "done")) == 2
    assert value(client, swaps.replace("%s", "failed")) == 1
    assert value(client, "recstage_swap_seconds_count") == 2
    assert value(client, 'recstage_swapped_timestamp_seconds{name="recommender"}') >= began
    pointer.staged = pointer.last_good = None
    manager.step()
    assert value(client, swaps.replace("%s", "withdrawn")) == 1


def test_the_version_that_answers_is_1_and_the_one_before_0(client, pointer, popularity, stage):
    manager = client.app.state.service.versions
    manager.stop()
    pointer.staged = stage(popularity, "2")
    manager.step()
    info = 'recstage_model_info{algorithm="%s",name="recommender",version="%s"}'
    assert value(client, info % ("als", "1")) == 0
    assert value(client, info % ("popularity", "2")) == 1


def test_the_ages_of_the_version_its_data_and_the_last_poll_are_metrics(client, als):
    client.app.state.service.versions.step()
    assert 0 < value(client, 'recstage_model_age_seconds{name="recommender"}') < 600
    newest = int(als.train_.timestamp.max())
    assert value(client, 'recstage_model_trained_until_seconds{name="recommender"}') == newest
    assert 30 <= value(client, 'recstage_registry_poll_age_seconds{name="recommender"}') < 60


def test_what_is_refused_is_counted_by_its_reason(pointer, serve):
    key = {"name": "web", "role": "admin", "key": "a-Strong-one-4-tests9"}
    with serve(pointer, api_keys=[key], rate_limit=0.001, rate_burst=3) as client:
        client.get(LIST, params={"user_id": "u5"})
        statuses = [
            client.get(LIST, params={"user_id": "u5"}, headers={"x-api-key": "a-Strong-one-4-tests9"}).status_code
            for _ in range(3)
        ]
        assert statuses == [200, 200, 200]
        assert (
            client.get(LIST, params={"user_id": "u5"}, headers={"x-api-key": "a-Strong-one-4-tests9"}).status_code
            == 429
        )
        counted = client.app.state.metrics.render().decode()
    assert 'recstage_requests_refused_total{reason="unauthenticated",why="unauthenticated"} 1.0' in counted
    assert 'recstage_requests_refused_total{reason="too-many-requests",why="too-many-requests"} 1.0' in counted
