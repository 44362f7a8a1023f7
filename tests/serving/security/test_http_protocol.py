"""Headers have limits that hold before anything else is looked at: a server on the loopback, asked over sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from serving.monitoring.metrics import Metrics
from serving.security.http_protocol import HeaderLimits, LimitedHttpProtocol
from serving.settings import ServingSettings

OK = b"HTTP/1.1 200"


class Server:
    """A server with small limits: 2,000 bytes, 20 headers, 0.3 s for headers, 1 s idle."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        limits = HeaderLimits(2000, 20, 0.3, 1.0, self.metrics)
        protocol = type("Protocol", (LimitedHttpProtocol,), {"limits": limits})

        async def answer(request: object) -> PlainTextResponse:
            body = await request.body()  # type: ignore[attr-defined]
            return PlainTextResponse(str(len(body)))

        app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])
        config = uvicorn.Config(app, http=protocol, log_config=None, lifespan="off", timeout_keep_alive=1)
        self.server = uvicorn.Server(config)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)
        self.thread.start()

    def connect(self) -> socket.socket:
        found = socket.create_connection(self.socket.getsockname())
        found.settimeout(20)
        return found

    def ask(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """What is answered to the parts until the server closes or has answered."""
        with closing(self.connect()) as connection:
            for part in parts:
                try:
                    connection.sendall(part)
                except OSError:
                    break
                time.sleep(pause)
            try:
                return connection.recv(65536)
            except ConnectionResetError:
                return b""

    def refused(self, kind: str) -> float:
        return self.metrics.refused.labels(kind)._value.get()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = Server()
    while not found.server.started:
        time.sleep(0.01)
    yield found
    found.server.should_exit = True
    found.thread.join(10)


def get(*headers: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(header + b"\r\n" for header in headers) + b"\r\n"


def test_usual_headers_pass(server):
    assert server.ask(get(b"x-a: 1", b"accept: */*")).startswith(OK)


def test_one_large_header_is_refused_with_431(server):
    answer = server.ask(get(b"x-large: " + b"a" * 3000))
    assert answer.startswith(b"HTTP/1.1 431")
    assert b'"type":"/problems/headers-too-large"' in answer
    assert b"at most 20 headers of 2000 bytes" in answer


def test_a_header_that_never_ends_is_refused_while_it_is_sent(server):
    before = server.refused("headers-too-large")
    parts = [b"GET / HTTP/1.1\r\nx-large: ", *[b"a" * 1000] * 200]
    server.ask(*parts)
    assert server.refused("headers-too-large") == before + 1


def test_many_headers_are_refused(server):
    assert server.ask(get(*[b"x-%d: 1" % i for i in range(30)])).startswith(b"HTTP/1.1 431")


def test_a_long_path_counts_as_well(server):
    assert server.ask(b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nhost: x\r\n\r\n").startswith(b"HTTP/1.1 431")


def test_headers_that_drip_are_given_up(server):
    drip = [b"GET / HTTP/1.1\r\n", *[b"x-%d: 1\r\n" % i for i in range(8)]]
    answer = server.ask(*drip, pause=0.1)
    assert answer.startswith(b"HTTP/1.1 408") or answer == b""
    assert server.refused("too-slow") >= 1


def test_a_large_body_in_one_piece_with_its_headers_passes(server):
    body = b"a" * 50_000
    request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    assert server.ask(request + body).endswith(b"50000")


def test_several_requests_of_one_connection_are_counted_each_by_itself(server):
    with closing(server.connect()) as connection:
        for _ in range(5):
            connection.sendall(get(b"x-a: " + b"a" * 1500))
            assert connection.recv(65536).startswith(OK)


def test_a_connection_that_says_nothing_is_closed(server):
    with closing(server.connect()) as connection:
        assert connection.recv(10) == b""


def test_the_limits_are_those_of_the_settings():
    limits = HeaderLimits.of(ServingSettings(max_header_bytes=4096, max_headers=50, header_timeout_seconds=3))
    assert (limits.max_bytes, limits.max_count, limits.seconds, limits.idle_seconds) == (4096, 50, 3.0, 75)
