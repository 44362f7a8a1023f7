"""What the service says of its health: `/api/model` and `/health/ready` agree."""

from __future__ import annotations

import time

import pytest

from serving.models.repository import PollResult
from tests.serving.doubles import FakePointer

BROKEN = "bundle 8: state.npz does not match its SHA-256. Train it again, or promote another version."


@pytest.fixture
def pointer(als, stage) -> FakePointer:
    return FakePointer(stage(als, "7"))


@pytest.fixture
def client(pointer, serve):
    with serve(pointer, follow_registry=True) as client:
        yield client


def told(client) -> tuple[dict | None, list[str]]:
    model = client.get("/api/model").json()
    assert client.get("/health/ready").json()["degraded"] == model["degraded"]
    return model["failing"], model["degraded"]


def test_a_version_that_cannot_be_fetched_is_failing_while_the_one_before_serves(client, pointer):
    pointer.poll_result = PollResult(time.time(), "8", BROKEN, tries=3)
    assert told(client) == ({"version": "8", "reason": BROKEN, "tries": 3}, [BROKEN])
    assert client.get("/api/model").json()["version"] == "7"


def test_a_registry_that_does_not_answer_is_no_failing_version(client, pointer):
    pointer.poll_result = PollResult(time.time(), None, "the MLflow server does not answer")
    assert told(client) == (None, ["the MLflow server does not answer"])


def test_polls_that_stopped_are_told(client, pointer):
    pointer.poll_result = PollResult(time.time() - 300, "7")
    failing, degraded = told(client)
    assert failing is None
    assert len(degraded) == 1
    assert "the registry was last polled 30" in degraded[0]


def test_a_recent_poll_without_a_problem_is_health(client, pointer):
    pointer.poll_result = PollResult(time.time(), "7")
    assert told(client) == (None, [])


def test_a_staged_version_that_is_not_here_is_not_called_nothing(serve):
    pointer = FakePointer()
    pointer.poll_result = PollResult(time.time(), "8", BROKEN, tries=1)
    with serve(pointer) as client:
        answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert f"none can be fetched: {BROKEN}" in answer.json()["detail"]
    assert "nothing is staged" not in answer.text


def test_while_fallback_models_serve_the_staged_version_is_named(serve, als, stage):
    pointer = FakePointer(stage(als, "7"))
    with serve(pointer, follow_registry=True) as client:
        pointer.staged, pointer.last_good = None, None
        service = client.app.state.service
        service.versions.step()
        pointer.poll_result = PollResult(time.time(), "8", BROKEN, tries=1)
        degraded = client.get("/health/ready").json()["degraded"]
    assert any(sentence.startswith("version 8 is not on this machine;") for sentence in degraded)
