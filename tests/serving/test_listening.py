"""The listening sockets of the service accept all connections that arrive at once."""

from __future__ import annotations

import asyncio
import socket

import pytest

from serving.__main__ import ACCEPTS_PER_ITERATION, listening

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
            first.listen(256)
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
