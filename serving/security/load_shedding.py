"""Load shedding: how many requests are worked on at once, and when a queue is an overload."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from serving.errors import Problem

CATCHING_UP_SECONDS = 0.25
"""A queue that lasts longer than this is no stall's."""
Excuse = Callable[[], bool]


def never() -> bool:
    """Nothing excuses a queue."""
    return False


class LoadShedder:
    """Sheds load: requests under way are counted, and so is how long the event loop has been at the requests that were
    ready together. Those that would wait longer than `max_lag_ms` are told to come back, which costs a
    fraction of an answer.

    A stall is no overload: what piled up meanwhile is answered. But where the loop has not caught up within
    `CATCHING_UP_SECONDS`, a queue stands, and would only make everybody wait: then `queue_lag_ms` is the bound,
    unless what holds up the loop is `excused` and will pass.
    Follows B. Maurer, Fail at Scale, ACM Queue 13(8), 2015 (controlled delay)."""

    def __init__(self, max_concurrency: int, max_lag_ms: float, queue_lag_ms: float, excused: Excuse = never) -> None:
        self._most, self._excused = max_concurrency, excused
        self._longest, self._longest_standing = max_lag_ms / 1000, queue_lag_ms / 1000
        self._under_way = 0
        self._turn_began: float | None = None
        self._turn_ended = self._caught_up = -math.inf

    def enter(self) -> None:
        """One more request. Raises a 503 problem when there are too many; then `leave` must not be called."""
        now = time.perf_counter()
        began = self._begin_turn(now) if self._turn_began is None else self._turn_began
        if self._under_way >= self._most or now - began > self._bound(now):
            raise Problem(
                503,
                "overloaded",
                "The service has more to do than it can; try again soon.",
                headers={"retry-after": "1"},
            )
        self._under_way += 1

    def leave(self) -> None:
        self._under_way -= 1

    @contextmanager
    def place(self) -> Iterator[None]:
        """`enter` and `leave` around some work."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    @property
    def under_way(self) -> int:
        return self._under_way

    def _begin_turn(self, now: float) -> float:
        self._turn_began = now
        if now - self._turn_ended > CATCHING_UP_SECONDS:  # nobody asked for so long
            self._caught_up = now
        # runs after all requests that are ready now, and before those that come in meanwhile
        asyncio.get_running_loop().call_soon(self._end_turn)
        return now

    def _bound(self, now: float) -> float:
        """How long a turn may have lasted for one more request to be taken, in seconds."""
        standing = now - self._caught_up > CATCHING_UP_SECONDS and not self._excused()
        return self._longest_standing if standing else self._longest

    def _end_turn(self) -> None:
        assert self._turn_began is not None
        self._turn_ended = time.perf_counter()
        if self._turn_ended - self._turn_began <= self._longest_standing or self._excused():
            self._caught_up = self._turn_ended
        self._turn_began = None
