"""Request bodies: bounded in time, size and depth, and refused with a problem."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.types import Message

from serving.monitoring.metrics import Metrics
from serving.security.middleware import GuardMiddleware
from serving.security.request_body import deeper_than
from serving.settings import ServingSettings
from tests.serving.security.credentials import CLIENT


def test_a_slow_sender_holds_no_slot_and_times_out():
    async def inner(scope, receive, send) -> None:
        raise AssertionError("nothing has arrived")

    async def main() -> None:
        settings = ServingSettings(max_concurrency=1, body_timeout_seconds=0.1)
        guard = GuardMiddleware(inner, settings, Metrics(), {})
        sent = []

        async def never() -> Message:
            await asyncio.sleep(60)
            raise AssertionError

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"content-length", b"100")]
        scope = {"type": "http", "method": "POST", "path": "/api/model/webhook", "headers": headers}
        asked = asyncio.create_task(guard({**scope}, never, send))
        await asyncio.sleep(0.02)
        assert guard._load_shedder.under_way == 0
        await asked
        assert sent[0]["status"] == 408
        assert b"arrives within 0.1 seconds" in sent[1]["body"]

    asyncio.run(main())


def test_a_body_that_is_too_large_is_refused_with_or_without_a_declared_length(guarded):
    big = {"user_id": "u1", "item_ids": ["i" * 50] * 100}
    declared = guarded.post("/api/predict", json=big, headers=CLIENT)

    def pieces():
        yield from (json.dumps(big)[i : i + 500].encode() for i in range(0, 5000, 500))

    chunked = guarded.post("/api/predict", content=pieces(), headers={**CLIENT, "content-type": "application/json"})
    for answered in (declared, chunked):
        assert answered.status_code == 413
        assert answered.json()["detail"] == "A request body has at most 2000 bytes."


def test_a_caller_who_still_sends_a_body_that_is_too_large_can_read_the_answer():
    """Closing a connection with unread data resets it, and the answer with it."""

    async def main() -> list[str]:
        guard = GuardMiddleware(lambda *_: None, ServingSettings(max_body_bytes=2000), Metrics(), {})
        pieces, order = iter([b"x" * 1500] * 3), []

        async def receive() -> Message:
            order.append("received")
            return {"type": "http.request", "body": next(pieces), "more_body": order.count("received") < 3}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                order.append(str(message["status"]))

        headers = [(b"host", b"localhost"), (b"content-length", b"4500"), (b"content-type", b"application/json")]
        await guard({"type": "http", "method": "POST", "path": "/api/predict", "headers": headers}, receive, send)
        return order

    assert asyncio.run(main()) == ["received"] * 3 + ["413"]


def test_a_body_that_is_too_deep_is_refused(guarded):
    body = '{"user_id": "u1", "item_ids": ' + "[" * 500 + "]" * 500 + "}"
    headers = {**CLIENT, "content-type": "application/json"}
    answered = guarded.post("/api/predict", content=body, headers=headers)
    assert (answered.status_code, answered.json()["type"]) == (413, "/problems/too-deep")


@pytest.mark.parametrize(
    ("body", "deep"),
    [
        (b"[[[[1]]]]", True),
        (b"[[[1]]]", False),
        (b'[{"a": [1]}]', False),
        (b'[{"a": [{}]}]', True),
        (b'["[[[[[[[[", "\\"[[[[[["]', False),
        (b"[" + b"{}," * 1000 + b"{}]", False),
        (b'["\\\\", [[[1]]]]', True),
    ],
)
def test_depth_is_found_without_parsing(body, deep):
    assert deeper_than(body, 3) is deep


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"", 422),
        (b"[]", 422),
        (b'{"user_id": "u1"}', 422),
        (b'{"user_id": "u1", "item_ids": []}', 422),
        (b'{"user_id": "u1", "item_ids": "i1"}', 422),
        (b'{"user_id": 5, "item_ids": ["i1"]}', 422),
        (b'{"user_id": "u1", "item_ids": [NaN]}', 422),
        (b'{"user_id": "u1", "item_ids": ["i\\u0000"]}', 422),
        (b'{"user_id": "u1", "item_ids": ["i1"], "extra": 1}', 422),
        (b'{"user_id": "u1", "item_ids": ["no-such-item"]}', 404),
        (b'{"user_id": "u1", "item_ids": ["i1"], "strategy": "nonsense"}', 422),
        (b"\xff\xfe", 400),
    ],
)
def test_a_bad_body_is_a_problem(guarded, content, status):
    headers = {**CLIENT, "content-type": "application/json"}
    answered = guarded.post("/api/predict", content=content, headers=headers)
    assert answered.status_code == status, answered.text
    assert answered.headers["content-type"] == "application/problem+json"
    assert len(answered.json()["detail"]) > 10
