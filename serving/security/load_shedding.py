"""Load shedding: refuses requests when too many are under way, or when they would wait too long."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from serving.errors import Problem

CATCHING_UP_SECONDS = 0.25
"""A queue that lasts longer than this is standing, not the result of a stall."""
Condition = Callable[[], bool]


def never() -> bool:
    """A `Condition` that is never met."""
    return False


class LoadShedder:
    """Counts requests under way, and measures how long the event loop is busy with requests that were ready together.

    A request that would wait longer than `max_lag_ms` is refused, which costs a fraction of a list. A stall is no
    overload: the requests that piled up meanwhile are served. But where turn follows turn without a pause, each longer
    than `queue_lag_ms`, for more than `CATCHING_UP_SECONDS`, there is a standing queue that makes all callers wait:
    then the bound is `queue_lag_ms`, unless `tolerate_queue()` says that its cause will pass. Neither the time in which
    nothing was asked nor a single long turn counts as a queue.
    Follows B. Maurer, Fail at Scale, ACM Queue 13(8), 2015 (controlled delay).
    """

    def __init__(
        self, max_concurrency: int, max_lag_ms: float, queue_lag_ms: float, tolerate_queue: Condition = never
    ) -> None:
        self._max_concurrency, self._tolerate_queue = max_concurrency, tolerate_queue
        self._max_lag, self._max_standing_lag = max_lag_ms / 1000, queue_lag_ms / 1000
        self._under_way = 0
        self._turn_started: float | None = None
        self._turn_ended = self._caught_up = -math.inf
        self._behind = False
        """Whether the last turn was long, and requests were waiting when it ended."""

    def enter(self) -> None:
        """Admit one request. Raises a 503 problem where there are too many; then `leave` must not be called."""
        now = time.perf_counter()
        started = self._begin_turn(now) if self._turn_started is None else self._turn_started
        if self._under_way >= self._max_concurrency or now - started > self._bound(now):
            raise Problem(
                503,
                "overloaded",
                "The service has more to do than it can; try again soon.",
                headers={"retry-after": "1"},
            )
        self._under_way += 1

    def leave(self) -> None:
        """A request that was admitted has ended."""
        self._under_way -= 1

    @property
    def under_way(self) -> int:
        """Requests that were admitted and have not ended."""
        return self._under_way

    def _begin_turn(self, now: float) -> float:
        self._turn_started = now
        if now - self._turn_ended > CATCHING_UP_SECONDS:  # no request for so long: nothing is queued
            self._behind = False
        if not self._behind:
            self._caught_up = now
        # runs after all requests that are ready now, and before those that arrive meanwhile
        asyncio.get_running_loop().call_soon(self._end_turn)
        return now

    def _bound(self, now: float) -> float:
        """How long a turn may have lasted for one more request to be admitted, in seconds."""
        standing = self._behind and now - self._caught_up > CATCHING_UP_SECONDS and not self._tolerate_queue()
        return self._max_standing_lag if standing else self._max_lag

    def _end_turn(self) -> None:
        assert self._turn_started is not None
        self._turn_ended = time.perf_counter()
        long = self._turn_ended - self._turn_started > self._max_standing_lag
        self._behind = long and not self._tolerate_queue()
        self._turn_started = None
        if self._behind:  # runs after the requests that arrived during the turn, each of which begins the next one
            asyncio.get_running_loop().call_soon(self._look_for_next_turn)

    def _look_for_next_turn(self) -> None:
        if self._turn_started is None:
            self._behind = False
