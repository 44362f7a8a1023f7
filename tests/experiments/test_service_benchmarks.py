"""The caller of the drills is honest: it ends when it should, says what it could not send, and costs little; and the
listening socket lets in all who come at once."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from experiments.benchmarks import __main__ as drills
from experiments.benchmarks import load_generator
from experiments.benchmarks.load_generator import Caller, Plan, get
from experiments.benchmarks.report import Measurement
from serving.__main__ import ACCEPTED_A_TURN, listening

uvloop = pytest.importorskip("uvloop")


@asynccontextmanager
async def answering(after: float):
    """A server that answers each request after some seconds."""

    async def answer(reader, writer) -> None:
        while await reader.readuntil(load_generator.END):
            await asyncio.sleep(after)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async def until_it_leaves(reader, writer) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(until_it_leaves, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def called(after: float, **plan):
    async def main():
        async with answering(after) as port:
            return await Caller(Plan(port=port, requests=[get("/")], **plan)).run()

    return uvloop.run(main())


def test_what_no_connection_was_free_for_is_told_and_not_sent_after_the_load(monkeypatch):
    monkeypatch.setattr(load_generator, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(load_generator, "GRACE_SECONDS", 0.1)
    report = called(after=0.2, seconds=0.5, connections=2, rate=200.0)
    assert set(report.statuses) == {200}
    assert 2 <= report.statuses[200] <= 8
    assert report.asked + report.unsent == 100
    assert report.seconds < 2


@pytest.mark.parametrize("began", [0.0, 1 / 3, 33_811.3479, 4_182_771.917, 2.0**31 + 0.1])
def test_a_rate_is_kept_to_the_request_whatever_the_clock_says(began):
    due = load_generator.falling_due(began, seconds=0.5, rate=200.0)
    assert len(due) == 100
    assert due[0] == began
    assert due[-1] == pytest.approx(began + 0.495, abs=1e-6)


def test_what_is_due_at_the_end_of_a_load_that_is_borne_is_still_sent(monkeypatch):
    monkeypatch.setattr(load_generator, "MOST_CONNECTIONS", 2)
    report = called(after=0.1, seconds=0.3, connections=2, rate=25.0)
    assert report.failed == 0
    assert report.statuses[200] == 8


def test_a_connection_that_the_server_ended_loses_no_request():
    class Ending:
        def __init__(self, ended: bool) -> None:
            self.ended, self.sent = ended, 0

        def is_closing(self) -> bool:
            return self.ended

        def write(self, request: bytes) -> None:
            self.sent += 1

    caller = Caller(Plan(port=1, seconds=1.0, connections=1, requests=[get("/")]))
    ended, fresh = load_generator.Connection(caller), load_generator.Connection(caller)
    ended.connection_made(Ending(ended=True))
    ended.ask(1.0)
    assert list(caller.due) == [1.0]
    assert not caller.statuses
    fresh.connection_made(Ending(ended=False))
    assert not caller.due
    assert caller.sent == 1


def test_a_caller_of_many_requests_sleeps_between_them(monkeypatch):
    naps = 0
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        nonlocal naps
        naps += 1
        await sleep(seconds)

    monkeypatch.setattr(load_generator.asyncio, "sleep", counted)
    report = called(after=0.0, seconds=0.3, connections=4, rate=4000.0)
    assert report.failed == 0
    assert naps < 2 * (0.3 / load_generator.TICK_SECONDS) + report.asked  # the server of this test naps once a request


def test_all_who_come_at_once_are_let_in_within_a_few_turns_of_the_event_loop():
    inside: list[asyncio.BaseTransport] = []

    class Guest(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            inside.append(transport)

    async def main() -> int:
        loop = asyncio.get_running_loop()
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            first.listen(256)
            ears = listening(first)
            servers = [await loop.create_server(Guest, sock=ear) for ear in ears]
            guests = [socket.create_connection(first.getsockname()) for _ in range(3 * ACCEPTED_A_TURN)]
            for _ in range(6):
                await asyncio.sleep(0)
            let_in = len(inside)
            for closing in (*servers, *guests, *inside):
                closing.close()
            return let_in

    assert uvloop.run(main()) == 3 * ACCEPTED_A_TURN


def test_each_drill_begins_with_its_own_version_in_production(monkeypatch, tmp_path):
    production = []

    class BenchmarkEnvironment:
        def __init__(self, folder, data):
            self.versions = 0

        def register(self, algorithm, **overrides):
            self.versions += 1
            return self.versions

        def promote(self, version):
            production.append(version)

    def slow_models(environment, algorithms, seconds):
        environment.promote(environment.register("hybrid"))
        return iter(())

    def start(environment, version):
        assert production[-1] == version
        return iter([Measurement("start", 1.0)])

    monkeypatch.setattr(drills, "Scene", BenchmarkEnvironment)
    monkeypatch.setattr(drills.performance, "slow_models", slow_models)
    monkeypatch.setattr(drills.performance, "start", start)
    played = list(drills._drilled(tmp_path, "any", ["slow-models", "start"], quick=True))
    assert [row.name for row in played] == ["start"]
