"""The listening sockets of the service: connections that arrive at once are accepted soon, by all workers alike."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

BACKLOG = 2048
ACCEPTS_PER_ITERATION = 16
"""New connections accepted in one iteration of the event loop. uvloop accepts one for each listening socket (libuv
1.45: https://github.com/libuv/libuv/pull/3696); where iterations are long, the others would wait for seconds."""


def listening(bound: socket.socket) -> list[socket.socket]:
    """A bound socket, made to listen, and repeated so that many simultaneous connections are accepted soon."""
    bound.listen(BACKLOG)  # connections made while the service starts wait instead of being refused
    return [bound, *(bound.dup() for _ in range(ACCEPTS_PER_ITERATION - 1))]


def listening_for_each(bound: socket.socket, workers: int) -> Sequence[list[socket.socket]]:
    """What each of several workers listens to.

    On Linux each has a socket of its own on the port, among which the kernel spreads connections (SO_REUSEPORT,
    socket(7)). Of one socket that all share, the worker that wakes up first would accept as many as there are: with a
    proxy that keeps its connections, all of them for as long as they last. `bound` was bound without that option, so
    that a port another service listens to is refused.
    """
    if sys.platform != "linux":  # elsewhere connections are not spread
        return [listening(bound)] * workers
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found = [listening(bound)]
    for _ in range(workers - 1):
        other = socket.socket(bound.family, bound.type)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(bound.getsockname())
        found.append(listening(other))
    return found
