"""The listening sockets of the service accept all connections that arrive at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

import pytest

from serving.workers.listening import ACCEPTS_PER_ITERATION, listening, listening_for_each

uvloop = pytest.importorskip("uvloop")


def test_connections_that_arrive_at_once_are_accepted_within_a_few_turns_of_the_event_loop():
    accepted: list[asyncio.BaseTransport] = []

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.append(transport)

    async def main() -> int:
        loop = asyncio.get_running_loop()
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            sockets = listening(first)
            servers = [await loop.create_server(Server, sock=one) for one in sockets]
            clients = [socket.create_connection(first.getsockname()) for _ in range(3 * ACCEPTS_PER_ITERATION)]
            for _ in range(6):
                await asyncio.sleep(0)
            number = len(accepted)
            for closing in (*servers, *clients, *accepted):
                closing.close()
            return number

    assert uvloop.run(main()) == 3 * ACCEPTS_PER_ITERATION


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers share one socket")
def test_each_worker_has_a_socket_of_its_own_and_the_port_is_refused_to_another_service():
    with socket.socket() as bound, contextlib.ExitStack() as held:
        bound.bind(("127.0.0.1", 0))
        first, second = listening_for_each(bound, 2)
        for one in (*first, *second):
            held.callback(one.close)
        assert {one.getsockname() for one in (*first, *second)} == {bound.getsockname()}
        for _ in range(48):
            held.enter_context(socket.create_connection(bound.getsockname()))
        assert min(waiting(first[0]), waiting(second[0])) >= 6
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn binds
            with pytest.raises(OSError, match="Address already in use"):
                other.bind(bound.getsockname())


def waiting(listens: socket.socket) -> int:
    """Connections that wait to be accepted."""
    listens.setblocking(False)
    found = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listens.accept()[0].close()
            found += 1
    return found
