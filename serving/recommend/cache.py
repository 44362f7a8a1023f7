"""Serialized lists, cached in this process or in Redis.

A key names everything a list depends on: the user and the version of their history, the version of the hidden items,
the model version and all request parameters. So nothing is ever invalidated: outdated keys are no longer requested.
"""

from __future__ import annotations

import hashlib
import logging
import time
from typing import Any, Protocol

from cachetools import TTLCache

from serving.recommend.response import SerializedList

log = logging.getLogger("serving.recommend.cache")
REDIS_TIMEOUT_SECONDS = 0.05
REDIS_PAUSE_SECONDS = 5.0


class Cache(Protocol):
    """Where lists are cached. Never raises."""

    async def get(self, key: tuple) -> SerializedList | None: ...

    async def put(self, key: tuple, value: SerializedList) -> None: ...

    async def close(self) -> None: ...


class NoCache:
    """Stores nothing."""

    async def get(self, key: tuple) -> SerializedList | None:
        return None

    async def put(self, key: tuple, value: SerializedList) -> None:
        return None

    async def close(self) -> None:
        return None


class LocalCache:
    """The most recently used lists, in this process, each for at most `seconds`."""

    def __init__(self, size: int, seconds: float) -> None:
        self._lists: TTLCache[tuple, SerializedList] = TTLCache(size, seconds)

    async def get(self, key: tuple) -> SerializedList | None:
        try:
            return self._lists[key]
        except KeyError:
            return None

    async def put(self, key: tuple, value: SerializedList) -> None:
        self._lists[key] = value

    async def close(self) -> None:
        self._lists.clear()


class RedisCache:
    """Shared by all workers and machines; keys are digests, so Redis stores no ids.

    While Redis is unavailable every list is computed, and Redis is tried again after a pause.
    """

    def __init__(self, url: str, seconds: float) -> None:
        from redis.asyncio import Redis

        self._redis: Any = Redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT_SECONDS, socket_connect_timeout=REDIS_TIMEOUT_SECONDS
        )
        self._milliseconds = int(seconds * 1000)
        self._retry_at = 0.0

    async def get(self, key: tuple) -> SerializedList | None:
        if time.monotonic() < self._retry_at:
            return None
        try:
            found = await self._redis.get(_digest(key))
            return None if found is None else SerializedList.unpack(found)
        except Exception as error:  # whatever fails in Redis, the list can be computed here
            self._unavailable(error)
            return None

    async def put(self, key: tuple, value: SerializedList) -> None:
        if time.monotonic() < self._retry_at:
            return
        try:
            await self._redis.set(_digest(key), value.pack(), px=self._milliseconds)
        except Exception as error:  # as above
            self._unavailable(error)

    async def close(self) -> None:
        await self._redis.aclose()

    def _unavailable(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + REDIS_PAUSE_SECONDS
        log.warning("Redis does not answer", extra={"event": "redis-away", "error": type(error).__name__})


def _digest(key: tuple) -> str:
    return "recstage:" + hashlib.sha256(repr(key).encode("utf-8", "surrogatepass")).hexdigest()
