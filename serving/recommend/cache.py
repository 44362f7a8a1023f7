"""Finished lists, kept in this process or in Redis.

A key names everything a list depends on: the person and the version of his history, the hidden items' version, the
model version and all wishes. So nothing is ever invalidated; what is stale is no longer asked for.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

log = logging.getLogger("serving.recommend.cache")
REDIS_TIMEOUT_SECONDS = 0.05
REDIS_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A finished list: `body` is its JSON without the closing brace, so that the person and the request's id can follow
    and no cache holds either; ids and scores are kept for the impressions."""

    body: bytes
    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    method: str
    version: str | None


class Cache(Protocol):
    """Where lists are kept. Never raises."""

    async def get(self, key: tuple) -> CachedResponse | None: ...

    async def put(self, key: tuple, listed: CachedResponse) -> None: ...

    async def close(self) -> None: ...


class NoCache:
    """Keeps nothing."""

    async def get(self, key: tuple) -> CachedResponse | None:
        return None

    async def put(self, key: tuple, listed: CachedResponse) -> None:
        return None

    async def close(self) -> None:
        return None


class LocalCache:
    """The lists last asked for, in this process."""

    def __init__(self, size: int, seconds: float) -> None:
        self._size, self._seconds = size, seconds
        self._kept: OrderedDict[tuple, tuple[float, CachedResponse]] = OrderedDict()

    async def get(self, key: tuple) -> CachedResponse | None:
        found = self._kept.get(key)
        if found is None:
            return None
        if found[0] < time.monotonic():
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return found[1]

    async def put(self, key: tuple, listed: CachedResponse) -> None:
        self._kept[key] = (time.monotonic() + self._seconds, listed)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)

    async def close(self) -> None:
        self._kept.clear()


class RedisCache:
    """Shared by all workers and machines. Keys are digests: Redis learns no ids. While Redis is away every list is made
    anew, and it is tried again after a pause."""

    def __init__(self, url: str, seconds: float) -> None:
        from redis.asyncio import Redis

        self._redis: Any = Redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT_SECONDS, socket_connect_timeout=REDIS_TIMEOUT_SECONDS
        )
        self._milliseconds = int(seconds * 1000)
        self._again_at = 0.0

    async def get(self, key: tuple) -> CachedResponse | None:
        if time.monotonic() < self._again_at:
            return None
        try:
            found = await self._redis.get(_digest(key))
            return None if found is None else _unpacked(found)
        except Exception as error:  # whatever goes wrong there, the list can be made here
            self._away(error)
            return None

    async def put(self, key: tuple, listed: CachedResponse) -> None:
        if time.monotonic() < self._again_at:
            return
        try:
            await self._redis.set(_digest(key), _packed(listed), px=self._milliseconds)
        except Exception as error:  # as above
            self._away(error)

    async def close(self) -> None:
        await self._redis.aclose()

    def _away(self, error: Exception) -> None:
        self._again_at = time.monotonic() + REDIS_PAUSE_SECONDS
        log.warning("Redis does not answer", extra={"event": "redis-away", "error": type(error).__name__})


def _digest(key: tuple) -> str:
    return "recstage:" + hashlib.sha256(repr(key).encode("utf-8", "surrogatepass")).hexdigest()


def _packed(listed: CachedResponse) -> bytes:
    return orjson.dumps([listed.body.decode(), listed.item_ids, listed.scores, listed.method, listed.version])


def _unpacked(packed: bytes) -> CachedResponse:
    body, item_ids, scores, method, version = orjson.loads(packed)
    return CachedResponse(body.encode(), tuple(item_ids), tuple(scores), method, version)
