"""Serialized lists, cached in this process or in Redis.

A key names everything a list depends on: the user and the version of their history, the version of the hidden items,
the model version and all request parameters. So nothing is ever invalidated: outdated keys are no longer requested.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from importlib.metadata import version
from typing import Protocol

from cachetools import TTLCache

from serving.recommend.response import SerializedList
from serving.redis_connection import RedisAway, RedisConnection

RELEASE = version("recstage")


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

    While Redis is away every list is computed, as is one that another version of the code has stored.
    """

    def __init__(self, redis: RedisConnection, seconds: float) -> None:
        self._redis, self._milliseconds = redis, int(seconds * 1000)

    async def get(self, key: tuple) -> SerializedList | None:
        try:
            found = await self._redis.run(lambda client: client.get(_digest(key)))
        except RedisAway:
            return None
        try:
            return None if found is None else SerializedList.unpack(found)
        except (ValueError, TypeError, AttributeError):
            return None

    async def put(self, key: tuple, value: SerializedList) -> None:
        with suppress(RedisAway):
            await self._redis.run(lambda client: client.set(_digest(key), value.pack(), px=self._milliseconds))

    async def close(self) -> None:
        await self._redis.close()


def _digest(key: tuple) -> str:
    return f"recstage:{RELEASE}:" + hashlib.sha256(repr(key).encode("utf-8", "surrogatepass")).hexdigest()
