"""Rate limits, by token buckets: requests of each caller (shared by all workers where Redis is set), and wrong keys
from each address (in each worker)."""

from __future__ import annotations

import hashlib
import math

from cachetools import LRUCache

from serving.errors import Problem
from serving.redis_connection import RedisAway, RedisConnection

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
            raise too_many(self._rate, (1 - tokens) / self._rate)


class SharedRateLimiter:
    """The same bucket for all workers and machines, in Redis; while Redis is away, a bucket in each worker.

    The bucket is kept as the time at which it will be full again: the generic cell rate algorithm, which needs one
    number a caller. Keys are digests, so Redis learns no names.
    """

    def __init__(self, rate: float, burst: int, redis: RedisConnection) -> None:
        self._rate, self._burst, self._redis = rate, burst, redis
        self._local = RateLimiter(rate, burst)

    async def take(self, caller: str, now: float) -> None:
        """Count one request. Raises a 429 problem with the seconds to wait where the caller's bucket is empty."""
        if self._rate <= 0:
            return
        key = "recstage:rate:" + hashlib.sha256(caller.encode()).hexdigest()
        try:
            wait = float(await self._redis.run(lambda client: client.eval(TAKE, 1, key, 1 / self._rate, self._burst)))
        except RedisAway:
            self._local.take(caller, now)
            return
        if wait > 0:
            raise too_many(self._rate, wait)


TAKE = """
local time = redis.call('TIME')
local now, interval, burst = time[1] + time[2] / 1000000, tonumber(ARGV[1]), tonumber(ARGV[2])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + interval
local wait = full - now - burst * interval
if wait > 0.000001 then
    return tostring(wait)
end
redis.call('SET', KEYS[1], string.format('%.6f', full), 'PX', math.ceil((full - now) * 1000) + 1)
return '0'
"""
"""Takes a token of the bucket of a key, and returns the seconds to wait where it is empty, else 0."""


def too_many(rate: float, wait: float) -> Problem:
    """The problem of a caller whose bucket is empty for so many seconds."""
    seconds = math.ceil(wait)
    return Problem(
        429,
        "too-many-requests",
        f"This key may ask {rate:g} times a second; wait {seconds} s.",
        headers={"retry-after": str(seconds)},
    )


class FailedAttempts:
    """A token bucket of wrong keys, tokens and signatures for each address; 0 a minute: no limit.

    A right key still passes, because many callers may share the address of a proxy. While a bucket is empty no further
    token is verified, which costs more than it costs to send one.
    """

    def __init__(self, per_minute: float) -> None:
        self._rate, self._burst = per_minute / 60, per_minute
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(MAX_CALLERS)

    def count(self, address: str, now: float) -> None:
        """Count one failure. Raises a 429 problem with the seconds to wait where the address had too many."""
        self.check(address, now)
        self.note(address, now)

    def note(self, address: str, now: float) -> None:
        """Count one failure that was answered already."""
        if self._rate > 0:
            self._buckets[address] = (max(0.0, self._tokens(address, now) - 1), now)

    def check(self, address: str, now: float) -> None:
        """Raise a 429 problem where the address had too many failures."""
        if self._rate > 0 and address in self._buckets and (tokens := self._tokens(address, now)) < 1:
            raise self._problem(tokens)

    def _tokens(self, address: str, now: float) -> float:
        tokens, updated_at = self._buckets.get(address, (self._burst, now))
        return min(self._burst, tokens + (now - updated_at) * self._rate)

    def _problem(self, tokens: float) -> Problem:
        wait = math.ceil((1 - tokens) / self._rate)
        return Problem(
            429,
            "too-many-failures",
            f"Too many wrong keys came from this address; wait {wait} s, and check the key.",
            headers={"retry-after": str(wait)},
        )
