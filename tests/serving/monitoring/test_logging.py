"""Logs: one JSON object a line, with the request id and no user id."""

from __future__ import annotations

import json
import logging

import pytest

from serving.monitoring.logging import JsonFormatter
from tests.serving.doubles import FakePointer, MemoryStore


@pytest.fixture
def pointer(als, stage) -> FakePointer:
    return FakePointer(stage(als, "1"))


def test_logs_hold_the_request_id_and_no_user_id(pointer, serve, caplog):
    store = MemoryStore()
    with serve(pointer, dependencies=store.dependencies(), log_requests=True, slow_request_ms=1e-6) as client:
        with caplog.at_level(logging.INFO, logger="serving"):
            client.get("/api/recommendations?user_id=private-user", headers={"x-request-id": "abc"})
            store.unavailable = True
            client.get("/api/recommendations?user_id=private-user")
        metrics = client.get("/metrics").text
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    assert {"request", "slow-recommendation", "degraded"} <= {line["event"] for line in lines if "event" in line}
    request = next(line for line in lines if line.get("event") == "request")
    assert (request["route"], request["status"]) == ("/api/recommendations", 200)
    assert "private-user" not in json.dumps(lines) + metrics
    assert "recstage_slow_recommendations_total 2.0" in metrics
