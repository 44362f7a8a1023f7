"""Refusing what is too much: so many requests a second for each caller, and no more than can be answered soon."""

from __future__ import annotations

import math
from collections import OrderedDict

from serving.errors import Problem

REMEMBERED_CALLERS = 10_000


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
