"""The load generator ends when it should, reports what it could not send, and sleeps between requests."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from experiments.benchmarks import load_generator
from experiments.benchmarks.load_generator import LoadGenerator, Plan, get

uvloop = pytest.importorskip("uvloop")


@asynccontextmanager
async def answering_server(delay: float):
    """A server that answers each request after `delay` seconds; yields its port."""

    async def answer(reader, writer) -> None:
        while await reader.readuntil(load_generator.END):
            await asyncio.sleep(delay)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async def until_disconnected(reader, writer) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(until_disconnected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def report_of(delay: float, **plan):
    async def main():
        async with answering_server(delay) as port:
            return await LoadGenerator(Plan(port=port, requests=[get("/")], **plan)).run()

    return uvloop.run(main())


def test_what_no_connection_was_free_for_is_reported_and_not_sent_after_the_load(monkeypatch):
    monkeypatch.setattr(load_generator, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(load_generator, "GRACE_SECONDS", 0.1)
    report = report_of(delay=0.2, seconds=0.5, connections=2, rate=200.0)
    assert set(report.statuses) == {200}
    assert 2 <= report.statuses[200] <= 8
    assert report.asked + report.unsent == 100
    assert report.seconds < 2


@pytest.mark.parametrize("began", [0.0, 1 / 3, 33_811.3479, 4_182_771.917, 2.0**31 + 0.1])
def test_a_rate_is_kept_to_the_request_whatever_the_clock_says(began):
    due = load_generator.due_times(began, seconds=0.5, rate=200.0)
    assert len(due) == 100
    assert due[0] == began
    assert due[-1] == pytest.approx(began + 0.495, abs=1e-6)


def test_what_is_due_at_the_end_of_a_load_within_capacity_is_still_sent(monkeypatch):
    monkeypatch.setattr(load_generator, "MAX_CONNECTIONS", 2)
    report = report_of(delay=0.1, seconds=0.3, connections=2, rate=25.0)
    assert report.failed == 0
    assert report.statuses[200] == 8


def test_a_connection_closed_by_the_server_loses_no_request():
    class FakeTransport:
        def __init__(self, closing: bool) -> None:
            self.closing, self.sent = closing, 0

        def is_closing(self) -> bool:
            return self.closing

        def write(self, request: bytes) -> None:
            self.sent += 1

    load = LoadGenerator(Plan(port=1, seconds=1.0, connections=1, requests=[get("/")]))
    closed, fresh = load_generator.Connection(load), load_generator.Connection(load)
    closed.connection_made(FakeTransport(closing=True))
    closed.ask(1.0)
    assert list(load.due) == [1.0]
    assert not load.statuses
    fresh.connection_made(FakeTransport(closing=False))
    assert not load.due
    assert load.sent == 1


def test_a_load_of_many_requests_sleeps_between_them(monkeypatch):
    sleeps = 0
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        nonlocal sleeps
        sleeps += 1
        await sleep(seconds)

    monkeypatch.setattr(load_generator.asyncio, "sleep", counted)
    report = report_of(delay=0.0, seconds=0.3, connections=4, rate=4000.0)
    assert report.failed == 0
    assert sleeps < 2 * (0.3 / load_generator.TICK_SECONDS) + report.asked  # the server sleeps too
