"""A list that follows its user: sent at once, and again after each event that may change it, as Server-Sent Events.

What changed is read from the database, by the version of the history and that of the hidden items, so that an event
that any worker took reaches the streams of all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable

from recstage.errors import RecstageError
from serving.errors import Problem
from serving.monitoring.metrics import Metrics
from serving.settings import ServingSettings

KEEP_ALIVE = b": keep-alive\n\n"
MakeList = Callable[[int], Awaitable[bytes]]
"""Makes the body of the list with a number, from 0."""


class Streams:
    """The open streams of this worker; there are never more than `max_streams`."""

    def __init__(self, settings: ServingSettings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._number = 0

    def check_room(self) -> None:
        """Raise a 503 problem where as many streams are open as may be."""
        if self._number >= self._settings.max_streams:
            raise Problem(
                503,
                "too-many-streams",
                f"This worker has {self._number} open streams, as many as it takes; ask again later.",
                headers={"retry-after": "5"},
            )

    async def events(
        self,
        first: bytes,
        state: Hashable,
        current_state: Callable[[], Awaitable[Hashable]],
        make_list: MakeList,
        is_disconnected: Callable[[], Awaitable[bool]],
    ) -> AsyncIterator[bytes]:
        """The stream as bytes, until the caller leaves, a list cannot be made, or `stream_seconds` are over.

        Args:
            first: the body of the first list.
            state: what it was made of.
            current_state: what a list would be made of now; another value: the list may have changed.
            make_list: makes a further list.
            is_disconnected: whether the caller has left.
        """
        settings = self._settings
        self._count(1)
        try:
            yield b"retry: 2000\n" + event(0, first)
            ends_at, sent_at = time.monotonic() + settings.stream_seconds, time.monotonic()
            number = 0
            while time.monotonic() < ends_at:
                await asyncio.sleep(settings.stream_poll_seconds)
                if await is_disconnected():
                    return
                try:
                    now = await current_state()
                    if now != state:
                        state, number = now, number + 1
                        yield event(number, await make_list(number))
                        sent_at = time.monotonic()
                        continue
                except (Problem, RecstageError):  # the caller connects again, and is then answered with the problem
                    return
                if time.monotonic() - sent_at >= settings.stream_keep_alive_seconds:
                    yield KEEP_ALIVE
                    sent_at = time.monotonic()
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self._number += change
        self._metrics.streams.set(self._number)


def event(number: int, body: bytes) -> bytes:
    """One event; the body is JSON without line breaks."""
    return b"id: %d\nevent: recommendations\ndata: %s\n\n" % (number, body)
