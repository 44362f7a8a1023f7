"""Rate limits: so many requests a second for each caller, by token buckets (in each worker)."""

from __future__ import annotations

import math

from cachetools import LRUCache

from serving.errors import Problem

MAX_CALLERS = 10_000
"""Buckets that are kept. The one used least recently is dropped first; its caller then starts with a full one."""


class RateLimiter:
    """A token bucket for each caller: `rate` tokens flow in a second, at most `burst` are kept. 0: no limit."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, float(burst)
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(MAX_CALLERS)

    def take(self, caller: str, now: float) -> None:
        """Count one request. Raises a 429 problem with the seconds to wait where the caller's bucket is empty."""
        if self._rate <= 0:
            return
        tokens, updated_at = self._buckets.get(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - updated_at) * self._rate)
        allowed = tokens >= 1
        self._buckets[caller] = (tokens - 1 if allowed else tokens, now)
        if not allowed:
            wait = math.ceil((1 - tokens) / self._rate)
            raise Problem(
                429,
                "too-many-requests",
                f"This key may ask {self._rate:g} times a second; wait {wait} s.",
                headers={"retry-after": str(wait)},
            )
