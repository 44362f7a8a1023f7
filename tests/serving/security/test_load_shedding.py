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

    async def turns(self, *requests: int, each: float) -> list[int]:
        """How many requests of each turn are admitted; the requests of a turn arrive during the one before it."""
        loop = asyncio.get_running_loop()
        admitted, done = [0] * len(requests), loop.create_future()

        async def handle(turn: int, place: int) -> None:
            try:
                self.shedder.enter()
            except Problem:
                pass
            else:
                admitted[turn] += 1
                self.now += each
                self.shedder.leave()
            if place == 0 and turn + 1 < len(requests):
                arrive(turn + 1)
            if (turn + 1, place + 1) == (len(requests), requests[turn]):
                done.set_result(None)

        tasks = []

        def arrive(turn: int) -> None:
            tasks.extend(loop.create_task(handle(turn, place)) for place in range(requests[turn]))

        arrive(0)
        await done
        await asyncio.gather(*tasks)
        return admitted

    async def pause(self, seconds: float) -> None:
        """Nothing is asked for."""
        for _ in range(3):
            await asyncio.sleep(0)
        self.now += seconds


def test_requests_that_would_wait_too_long_are_refused_and_the_next_ones_are_served(monkeypatch):
    load = SimulatedLoad(monkeypatch, max_lag_ms=20, queue_lag_ms=20)

    async def main() -> None:
        assert await load.turns(20, 3, each=0.003) == [7, 3]
        assert load.shedder.under_way == 0

    asyncio.run(main())


def test_requests_after_a_stall_are_served_but_a_standing_queue_is_refused_until_it_is_gone(monkeypatch):
    load = SimulatedLoad(monkeypatch, max_lag_ms=1000, queue_lag_ms=20)

    async def main() -> None:
        # 240 ms are a stall; as many requests again are none; five are caught up with
        assert await load.turns(80, 80, 80, 5, 60, each=0.003) == [80, 7, 7, 5, 60]

    asyncio.run(main())


def test_after_a_pause_there_is_no_standing_queue(monkeypatch):
    load = SimulatedLoad(monkeypatch, max_lag_ms=1000, queue_lag_ms=20)

    async def main() -> None:
        assert (await load.turns(*[60] * 20, each=0.003))[-1] == 7
        await load.pause(1)
        assert await load.turns(60, each=0.003) == [60]

    asyncio.run(main())


def test_bursts_with_pauses_between_them_are_served_however_slow_the_machine_is(monkeypatch):
    """Simulated users ask for 32 lists at once, act, and ask again."""
    load = SimulatedLoad(monkeypatch, max_lag_ms=1000, queue_lag_ms=50)

    async def main() -> None:
        for _ in range(20):
            assert await load.turns(32, each=0.005) == [32]
            await load.pause(0.12)

    asyncio.run(main())


def test_a_single_long_turn_refuses_nobody(monkeypatch):
    """A process that other work keeps from running for 300 ms in the middle of a turn."""
    load = SimulatedLoad(monkeypatch, max_lag_ms=1000, queue_lag_ms=50)

    async def main() -> None:
        assert await load.turns(5, each=0.001) == [5]
        load.now += 0.01
        assert await load.turns(3, each=0.3) == [3]

    asyncio.run(main())


def test_a_tolerated_queue_is_served_and_is_not_standing_afterwards(monkeypatch):
    tolerated = True
    load = SimulatedLoad(monkeypatch, max_lag_ms=1000, queue_lag_ms=20, tolerate_queue=lambda: tolerated)

    async def main() -> None:
        nonlocal tolerated
        assert await load.turns(*[60] * 20, each=0.003) == [60] * 20
        tolerated = False
        assert await load.turns(60, 60, 60, each=0.003) == [60, 24, 7]  # until it has lasted for 250 ms

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
