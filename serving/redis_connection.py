"""One client of Redis for each worker: short timeouts, a pause after a failure, and what is wrong with it.

Whatever Redis shares (cached lists, rate limits) is done by each worker for itself while it is away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

log = logging.getLogger("serving.redis_connection")
TIMEOUT_SECONDS = 0.05
PAUSE_SECONDS = 5.0
T = TypeVar("T")


class RedisAway(Exception):  # noqa: N818  caught by every caller, never shown
    """Redis did not answer, or failed a moment ago and is not asked again yet."""


class RedisConnection:
    """Runs commands; used on one event loop."""

    def __init__(self, url: str) -> None:
        from redis.asyncio import Redis

        self._client: Any = Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS)
        self._retry_at = 0.0
        self.trouble: str | None = None
        """Why the last command failed; None where it did not."""

    async def run(self, command: Callable[[Any], Awaitable[T]]) -> T:
        """The result of a command on the client. Raises `RedisAway`."""
        if time.monotonic() < self._retry_at:
            raise RedisAway
        try:
            found = await command(self._client)
        except Exception as error:  # whatever fails in Redis, this worker can do without
            self._retry_at, self.trouble = time.monotonic() + PAUSE_SECONDS, type(error).__name__
            log.warning("Redis does not answer", extra={"event": "redis-away", "error": type(error).__name__})
            raise RedisAway from error
        self.trouble = None
        return found

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()
