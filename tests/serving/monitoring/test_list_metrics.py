"""Metrics and log lines of lists: where they came from, how long each stage took, for how many users."""

from __future__ import annotations

import json
import logging

import pytest

from serving.monitoring.logging import JsonFormatter
from tests.serving.doubles import FakePointer, MemoryStore


@pytest.fixture
def client(als, stage, serve):
    keys = [{"name": "shop", "role": "service", "key": "a-Strong-one-4-tests9"}]
    with serve(
        FakePointer(stage(als, "7")), dependencies=MemoryStore().dependencies(), api_keys=keys, log_requests=True
    ) as client:
        client.headers["x-api-key"] = "a-Strong-one-4-tests9"
        yield client


def value(client, line: str) -> float:
    text = client.get("/metrics").text
    return sum(float(found.split()[-1]) for found in text.splitlines() if found.startswith(line + " "))


def ask(client, user_id: str, **params) -> None:
    assert client.get("/api/recommendations", params={"user_id": user_id, **params}).status_code == 200


def test_each_list_is_counted_by_where_it_came_from(client):
    for user in ("u5", "u5", "u6", "unknown"):
        ask(client, user)
    for source, number in (("model", 2), ("cache", 1), ("popularity", 1), ("precomputed", 0)):
        assert value(client, f'recstage_list_sources_total{{source="{source}"}}') == number


def test_of_every_eighth_list_the_stages_are_observed(client):
    for n in range(17):
        ask(client, f"u{n}")
    assert value(client, 'recstage_list_stage_seconds_count{stage="rank"}') == 3
    assert value(client, 'recstage_model_scoring_seconds_count{model="als"}') == 3


def test_stages_and_scoring_are_observed_where_a_list_is_computed(client, monkeypatch):
    monkeypatch.setattr("serving.recommend.recommender.STAGE_SAMPLE", 1)
    for user in ("u5", "u5", "unknown"):
        ask(client, user)
    for what, number in (("reads", 3), ("rank", 2), ("serialize", 2)):  # one came from the cache
        assert value(client, f'recstage_list_stage_seconds_count{{stage="{what}"}}') == number
    assert value(client, 'recstage_model_scoring_seconds_count{model="als"}') == 1


def test_sizes_of_batches_are_observed(client):
    client.post("/api/recommendations/batch", json={"user_ids": ["u1", "u2", "u3"]})
    assert value(client, "recstage_batch_users_sum") == 3
    assert value(client, 'recstage_model_scoring_seconds_count{model="als"}') == 1


def test_the_log_of_a_request_names_the_key_the_source_and_the_stages_and_never_the_user(client, caplog):
    caplog.set_level(logging.INFO, "serving.request")
    ask(client, "u5")
    ask(client, "u5")
    first, second = (json.loads(JsonFormatter().format(one)) for one in caplog.records if one.message == "request")
    assert (first["key"], first["list_source"]) == ("shop", "model")
    assert {"reads_ms", "rank_ms", "serialize_ms"} <= set(first)
    assert (second["list_source"], "rank_ms" in second) == ("cache", False)
    assert "u5" not in json.dumps([first, second])


def test_the_state_of_the_reverse_model_is_told(client):
    reverse = client.get("/api/model", params={"details": True}).json()["reverse"]
    assert (reverse["name"], reverse["version"], reverse["failing"]) == ("recommender-reverse", None, None)
