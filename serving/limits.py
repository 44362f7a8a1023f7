"""Refusing what is too much: so many requests a second for each caller, and no more than can be answered soon."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from serving.problems import Problem

REMEMBERED_CALLERS = 10_000
CATCHING_UP_SECONDS = 0.25
"""A queue that lasts longer than this is no stall's."""


class RateLimiter:
    """A bucket of tokens for each caller: `rate` flow in a second, at most `burst` are kept. 0: no limit."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, float(burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float) -> None:
        """One request of this caller. Raises a 429 problem, with the seconds to wait, where his bucket is empty."""
        if self._rate <= 0:
            return
        tokens, then = self._buckets.pop(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        if tokens < 1:
            self._keep(caller, tokens, now)
            wait = math.ceil((1 - tokens) / self._rate)
            raise Problem(
                429,
                "too-many-requests",
                f"This key may ask {self._rate:g} times a second; wait {wait} s.",
                headers={"retry-after": str(wait)},
            )
        self._keep(caller, tokens - 1, now)

    def _keep(self, caller: str, tokens: float, now: float) -> None:
        self._buckets[caller] = (tokens, now)
        if len(self._buckets) > REMEMBERED_CALLERS:
            self._buckets.popitem(last=False)


Excuse = Callable[[], bool]


def never() -> bool:
    """Nothing excuses a queue."""
    return False


class Admission:
    """Sheds load: requests under way are counted, and so is how long the event loop has been at the requests that were
    ready together. Those that would wait longer than `max_lag_ms` are told to come back, which costs a
    fraction of an answer.

    A stall is no overload: what piled up meanwhile is answered. But where the loop has not caught up within
    `CATCHING_UP_SECONDS`, a queue stands, and would only make everybody wait: then `standing_lag_ms` is the bound,
    unless what holds up the loop is `excused` and will pass.
    Follows B. Maurer, Fail at Scale, ACM Queue 13(8), 2015 (controlled delay)."""

    def __init__(
        self, max_concurrency: int, max_lag_ms: float, standing_lag_ms: float, excused: Excuse = never
    ) -> None:
        self._most, self._excused = max_concurrency, excused
        self._longest, self._longest_standing = max_lag_ms / 1000, standing_lag_ms / 1000
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
