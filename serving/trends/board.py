"""The activity of each window, as last read from the database; read again in the background, whoever asks.

Reading takes longer the more is going on, so the pause grows with it: it never takes more than a fiftieth of the time.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from recstage.errors import StoreError
from serving.interfaces import ActivitySource, RecentActivity

log = logging.getLogger("serving.trends.board")
Window = Literal["hour", "day", "week", "month"]
HOURS: Mapping[Window, int] = {"hour": 1, "day": 24, "week": 24 * 7, "month": 24 * 30}
PAUSE_PER_READ = 50.0
STALE_PAUSES = 10.0
"""A state older than so many pauses is not served while a newer one is read."""


@dataclass(frozen=True)
class Activity:
    """What happened in a window. `degraded`: it could not be read just now."""

    items: Sequence[RecentActivity] = ()
    degraded: bool = False

    @cached_property
    def version(self) -> str:
        """Equal for equal activity, in every process."""
        digest = hashlib.blake2b(digest_size=8)
        for one in sorted(self.items, key=lambda item: item.item_id):
            digest.update(f"{one.item_id}\x00{one.decayed:.6g}\x00{one.recent:g}\x00{one.before:g}\x01".encode())
        return digest.hexdigest()

    @cached_property
    def by_id(self) -> Mapping[str, RecentActivity]:
        return {one.item_id: one for one in self.items}

    @cached_property
    def popular(self) -> list[tuple[str, float]]:
        """Items of the window and their score, most popular first; ties by id."""
        found = [(one.item_id, one.decayed) for one in self.items if one.decayed > 0]
        return sorted(found, key=lambda one: (-one[1], one[0]))

    @cached_property
    def trending(self) -> list[tuple[str, float]]:
        """Items that gained over the window before, and by how many standard deviations; ties by id.

        Both counts are taken as Poisson distributed: the difference of two has the variance of their sum.
        """
        found = [
            (one.item_id, (one.recent - one.before) / math.sqrt(one.recent + one.before + 1))
            for one in self.items
            if one.recent > one.before
        ]
        return sorted(found, key=lambda one: (-one[1], one[0]))


@dataclass
class _Read:
    """A state of a window: when it was read, and how long it may be served."""

    activity: Activity
    at: float
    pause: float


class ActivityBoard:
    """Serves the activity of a window at once, and has it read again where it is older than its pause."""

    def __init__(
        self,
        source: ActivitySource,
        in_thread: Callable[..., Awaitable[Any]],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`in_thread(function, *arguments)`: awaits a call in a thread; `seconds`: shortest pause between two reads."""
        self._source, self._in_thread, self._seconds, self._clock = source, in_thread, seconds, clock
        self._reads: dict[Window, _Read] = {}
        self._running: dict[Window, asyncio.Task[Activity]] = {}

    async def current(self, window: Window) -> Activity:
        """The activity of a window, at most `STALE_PAUSES` pauses old. Never raises."""
        found, now = self._reads.get(window), self._clock()
        if found is not None and now - found.at < found.pause:
            return found.activity
        task = self._running.get(window)
        if task is None:
            task = self._running[window] = asyncio.create_task(self._read(window))
        if found is not None and now - found.at < STALE_PAUSES * found.pause:
            return found.activity
        return await asyncio.shield(task)

    async def _read(self, window: Window) -> Activity:
        began = self._clock()
        try:
            items = await self._in_thread(self._source.recent, HOURS[window])
            activity = Activity(items)
            await self._in_thread(_sort, activity)
        except StoreError as error:
            log.warning("activity was not read", extra={"event": "degraded", "what": "activity", "error": str(error)})
            before = self._reads.get(window)
            activity = Activity(() if before is None else before.activity.items, degraded=True)
        finally:
            self._running.pop(window, None)
        now = self._clock()
        self._reads[window] = _Read(activity, now, max(self._seconds, PAUSE_PER_READ * (now - began)))
        return activity


def _sort(activity: Activity) -> None:
    """Compute what lists are made of, off the event loop."""
    _ = activity.version, activity.by_id, activity.popular, activity.trending
