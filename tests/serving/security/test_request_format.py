"""How a request is written: its encoding, the type of its body, HEAD, and bodies that are too large."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest
import uvicorn

from serving.app import create_app
from tests.serving.conftest import settings_with
from tests.serving.doubles import MemoryStore
from tests.serving.security.credentials import CLIENT, LIST, SERVICE


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def client(pointer, serve, store):
    with serve(pointer, dependencies=store.dependencies()) as client:
        yield client


@pytest.mark.parametrize(
    "address",
    [
        "/api/recommendations?user_id=%ff%fe",
        "/api/recommendations?user_id=u5&exclude=%c3%28",
        "/api/items/%ff%fe/similar",
        "/api/nothing/%ed%a0%80",
    ],
)
def test_an_address_that_is_not_utf_8_is_refused(client, address):
    answer = client.get(address)
    assert answer.status_code == 400
    assert "must be UTF-8, percent-encoded" in answer.json()["detail"]


def test_an_address_in_any_language_is_read(client):
    assert client.get("/api/recommendations", params={"user_id": "дана/ünï �"}).status_code == 200


@pytest.mark.parametrize("parameter", ["user_id", "exclude", "category"])
def test_control_characters_in_a_query_are_refused_as_in_events(client, parameter):
    answer = client.get("/api/recommendations", params={"user_id": "u5", parameter: "a\nb"})
    assert answer.status_code == 422
    assert "must not hold control characters" in answer.json()["detail"]


def test_a_body_that_is_called_text_is_refused_with_the_type_to_send(client):
    body = json.dumps({"user_id": "u5", "item_ids": ["i1"]})
    answer = client.post("/api/predict", content=body, headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert answer.json()["detail"] == "A body is sent with Content-Type: application/json; this one is text/plain."
    for kind in ("application/json; charset=utf-8", "application/vnd.shop+json", "APPLICATION/JSON"):
        assert client.post("/api/predict", content=body, headers={"content-type": kind}).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/api/model", LIST, "/openapi.json"])
def test_head_is_get_without_the_body(client, path):
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_a_list_that_nothing_is_shown_of_is_no_impression(client, store):
    client.head(LIST)
    assert store.impressions == []
    client.get(LIST)
    assert len(store.impressions) == 1


def test_head_where_nothing_is_read_is_refused(client):
    assert client.head("/api/predict").status_code == 405


# -- over a connection ------------------------------------------------------------------------------------------------


@pytest.fixture
def port(pointer, tmp_path):
    """A service that listens; its port."""
    app = create_app(settings_with(tmp_path, max_body_bytes=2000), pointer=pointer)
    bound = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield bound.getsockname()[1]
    server.should_exit = True
    thread.join(timeout=20)


def exchange(port: int, head: str, body: bytes) -> bytes:
    """Send everything, then read the whole answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode() + body)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def test_the_refusal_of_a_large_body_can_be_read_by_a_caller_that_sends_all_of_it_first(port):
    size = 8_000_000
    length = f"Content-Length: {size}"
    head = ("POST /api/predict HTTP/1.1", "Host: localhost", "Content-Type: application/json", length)
    answer = exchange(port, "\r\n".join((*head, "", "")), b" " * size)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"A request body has at most 2000 bytes." in answer


def test_a_head_request_gets_its_headers_alone(port):
    answer = exchange(port, "HEAD /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", b"")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == b""


# -- wrong keys -------------------------------------------------------------------------------------------------------


def test_wrong_keys_are_throttled_by_address_and_a_right_key_passes(serve, pointer):
    from tests.serving.security.credentials import KEYS, SECRET, token

    with serve(pointer, api_keys=KEYS, jwt_secret=SECRET, auth_failures_per_minute=3) as client:
        wrong = [client.get(LIST, headers={"x-api-key": f"wrong-{i}"}).status_code for i in range(5)]
        assert wrong == [401, 401, 401, 429, 429]
        refused = client.get(LIST, headers=token("another-secret-of-more-than-32-characters"))
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 20
        assert client.get(LIST, headers=CLIENT).status_code == 200
        assert (
            'recstage_requests_refused_total{reason="too-many-failures"' in client.get("/metrics", headers=SERVICE).text
        )


def test_wrong_signatures_of_the_webhook_are_throttled(serve, pointer):
    with serve(pointer, webhook_secret="kT9-vQ2x.Lw7_hR4m", auth_failures_per_minute=2) as client:
        answers = [client.post("/api/model/webhook", json={}).status_code for _ in range(4)]
    assert answers == [401, 401, 429, 429]


def test_addresses_do_not_wait_for_each_other_and_are_kept_in_bounded_number():
    from serving.errors import Problem
    from serving.security import rate_limit
    from serving.security.rate_limit import FailedAttempts

    failures = FailedAttempts(1)
    failures.count("10.0.0.1", 0.0)
    with pytest.raises(Problem):
        failures.count("10.0.0.1", 0.0)
    failures.count("10.0.0.2", 0.0)
    failures.count("10.0.0.1", 60.0)
    for i in range(rate_limit.MAX_CALLERS + 5):
        failures.note(str(i), 61.0)
    assert len(failures._buckets) == rate_limit.MAX_CALLERS
