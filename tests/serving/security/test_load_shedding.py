"""Load shedding: stalls are caught up with, standing queues are cut."""

from __future__ import annotations

import asyncio

import pytest

from serving.errors import Problem
from serving.security.load_shedding import LoadShedder


class SimulatedLoad:
    """A load shedder on a simulated clock; each request that is admitted takes `each` seconds."""

    def __init__(self, monkeypatch, **bounds) -> None:
        self.now = 100.0
        monkeypatch.setattr("serving.security.load_shedding.time.perf_counter", lambda: self.now)
        self.shedder = LoadShedder(max_concurrency=1000, **bounds)

    async def turn(self, requests: int, each: float) -> int:
        """How many of the requests that are ready together are admitted."""

        async def handle() -> bool:
            try:
                self.shedder.enter()
            except Problem:
                return False
            self.now += each
            self.shedder.leave()
            return True

        return sum(await asyncio.gather(*(handle() for _ in range(requests))))


def test_requests_that_would_wait_too_long_are_refused_and_the_next_ones_are_served(monkeypatch):
    load = SimulatedLoad(monkeypatch, max_lag_ms=20, queue_lag_ms=20)

    async def main() -> None:
        assert await load.turn(20, each=0.003) == 7
        assert await load.turn(3, each=0.003) == 3
        assert load.shedder.under_way == 0

    asyncio.run(main())


def test_requests_after_a_stall_are_served_but_a_standing_queue_is_refused_until_it_is_gone(monkeypatch):
    load = SimulatedLoad(monkeypatch, max_lag_ms=1000, queue_lag_ms=20)

    async def main() -> None:
        assert await load.turn(80, each=0.003) == 80  # 240 ms: a stall
        assert await load.turn(80, each=0.003) == 7  # and there are as many again: it is none
        assert await load.turn(80, each=0.003) == 7
        assert await load.turn(5, each=0.003) == 5  # caught up
        assert await load.turn(60, each=0.003) == 60

    asyncio.run(main())


def test_after_a_pause_there_is_no_standing_queue(monkeypatch):
    load = SimulatedLoad(monkeypatch, max_lag_ms=1000, queue_lag_ms=20)

    async def main() -> None:
        for _ in range(20):
            await load.turn(60, each=0.003)
        assert await load.turn(60, each=0.003) == 7
        load.now += 1
        assert await load.turn(60, each=0.003) == 60

    asyncio.run(main())


def test_a_tolerated_queue_is_served_and_is_not_standing_afterwards(monkeypatch):
    tolerated = True
    load = SimulatedLoad(monkeypatch, max_lag_ms=1000, queue_lag_ms=20, tolerate_queue=lambda: tolerated)

    async def main() -> None:
        nonlocal tolerated
        for _ in range(20):
            assert await load.turn(60, each=0.003) == 60
        tolerated = False
        assert await load.turn(60, each=0.003) == 60
        assert await load.turn(60, each=0.003) == 24  # until it has lasted for 250 ms
        assert await load.turn(60, each=0.003) == 7

    asyncio.run(main())


def test_no_more_than_max_concurrency_are_under_way():
    async def main() -> None:
        shedder = LoadShedder(max_concurrency=2, max_lag_ms=1000, queue_lag_ms=1000)
        shedder.enter()
        shedder.enter()
        with pytest.raises(Problem, match="more to do than it can"):
            shedder.enter()
        shedder.leave()
        shedder.enter()

    asyncio.run(main())
