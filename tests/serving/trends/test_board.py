"""The board serves what was read last, reads again in the background, and does without the database."""

from __future__ import annotations

import asyncio

import pytest

from recstage.errors import StoreError
from serving.interfaces import RecentActivity
from serving.trends.board import PAUSE_PER_READ, STALE_PAUSES, Activity, ActivityBoard

ONE = RecentActivity("one", 2.0, 3.0, 0.0)
OTHER = RecentActivity("other", 2.0, 2.0, 2.0)


class Source:
    """An `ActivitySource` whose reads take `seconds` of a clock that only they move."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.items, self.seconds, self.now, self.reads, self.unavailable = [ONE], seconds, 0.0, 0, False

    def recent(self, hours: int) -> list[RecentActivity]:
        self.reads += 1
        self.now += self.seconds
        if self.unavailable:
            raise StoreError("the database", rule="does not answer", fix="Start it")
        return list(self.items)


async def direct(work, *arguments):
    await asyncio.sleep(0)
    return work(*arguments)


def board(source: Source, seconds: float = 2.0) -> ActivityBoard:
    return ActivityBoard(source, direct, seconds, clock=lambda: source.now)


async def settled(found: ActivityBoard, window: str = "day") -> Activity:
    """The activity after what is being read was read."""
    await found.current(window)
    while found._running:
        await asyncio.sleep(0)
    return await found.current(window)


def test_within_the_pause_nothing_is_read_and_after_it_the_old_state_is_served_while_a_new_one_is_read():
    async def run():
        source = Source()
        found = board(source)
        first = await found.current("day")
        assert await found.current("day") is first
        source.now, source.items = 3.0, [ONE, OTHER]
        assert await found.current("day") is first
        assert len((await settled(found)).items) == 2
        assert source.reads == 2

    asyncio.run(run())


def test_a_state_that_is_too_old_is_not_served():
    async def run():
        source = Source()
        found = board(source)
        await found.current("day")
        source.now, source.items = 2 * STALE_PAUSES + 1, [OTHER]
        assert (await found.current("day")).items == [OTHER]

    asyncio.run(run())


def test_requests_that_wait_share_one_read_and_windows_are_read_apart():
    async def run():
        source = Source()
        found = board(source)
        await asyncio.gather(*(found.current("day") for _ in range(20)))
        assert source.reads == 1
        await found.current("week")
        assert source.reads == 2

    asyncio.run(run())


def test_a_read_that_takes_long_is_rarer():
    async def run():
        source = Source(seconds=1.0)
        found = board(source)
        await found.current("day")
        source.now += PAUSE_PER_READ - 1
        await found.current("day")
        assert source.reads == 1
        source.now += 2
        await settled(found)
        assert source.reads == 2

    asyncio.run(run())


def test_while_the_database_is_unavailable_the_last_state_is_served_as_degraded():
    async def run():
        source = Source()
        found = board(source)
        await found.current("day")
        source.now, source.unavailable = 3.0, True
        activity = await settled(found)
        assert (activity.items, activity.degraded) == ([ONE], True)
        source.now, source.unavailable = 6.0, False
        assert not (await settled(found)).degraded

    asyncio.run(run())


def test_equal_activity_has_an_equal_version_in_every_process():
    assert Activity([ONE, OTHER]).version == Activity([OTHER, ONE]).version
    assert Activity([ONE]).version != Activity([ONE, OTHER]).version


def test_trending_is_the_gain_in_standard_deviations():
    activity = Activity([RecentActivity("up", 9, 9, 0), RecentActivity("flat", 50, 50, 50), OTHER])
    assert activity.trending == [("up", pytest.approx(9 / 10**0.5))]
    assert [item_id for item_id, _ in activity.popular] == ["flat", "up", "other"]
