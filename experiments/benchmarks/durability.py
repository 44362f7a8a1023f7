"""Durability: a writer killed by `kill -9` in the middle, again and again, loses and doubles no acknowledged event.

Each round starts a process that records events in a SQLite file, kills it within half a second, checks the file, and
sends everything again with the same idempotency keys. Goals: of the acknowledged events none is missing, no file fails
its integrity check, and after the retry no event is stored twice.

    python -m experiments.benchmarks --only durability --kills 50
"""

from __future__ import annotations

import os
import random
import select
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL
from tqdm import tqdm

from experiments.benchmarks.report import Measurement, at_most
from recstage.errors import StoreError
from serving.store.admin import backup, migrate
from serving.store.db.connection import connect_sqlite, parse_url
from serving.store.db.writer import Writer
from serving.store.repositories.events import Event, RecordEvents, now_ms

EVENTS_PER_BATCH, IN_FLIGHT = 20, 8


def durability(folder: Path, kills: int, *, seed: int = 0) -> Iterator[Measurement]:
    """Kill a writer `kills` times, at moments drawn from `seed`, on a database of its own in `folder`."""
    path = folder / "durability.db"
    migrate.upgrade(parse_url(f"sqlite:///{path}"))
    found = kill_during_writes(path, kills, seed=seed)
    yield Measurement("events acknowledged before a kill", found.acknowledged)
    yield Measurement(f"{found.kills} kills -9, acknowledged events missing", found.missing, at_most(0))
    yield Measurement("  databases that fail the integrity check", found.corrupt, at_most(0))
    yield Measurement("  events twice after a retry", found.duplicates, at_most(0))


@dataclass(frozen=True)
class Killed:
    """What the kills left.

    `acknowledged`: events acknowledged before a kill; `missing`: those of them that were not in the file; `corrupt`:
    kills after which the file failed its check; `duplicates`: events stored twice after everything was sent again.
    """

    kills: int
    acknowledged: int
    missing: int
    corrupt: int
    duplicates: int


def kill_during_writes(path: Path, times: int, *, seed: int = 0, longest: float = 0.5) -> Killed:
    """Start a writer on a SQLite file, kill it, check the file, and send everything again; `times` over.

    It is killed at a random moment within `longest` seconds of its first acknowledgement; `seed` decides which. The
    calling process must not run other threads, because it forks.
    """
    url = URL.create("sqlite", database=str(path))
    rng = random.Random(seed)
    acknowledged = missing = corrupt = duplicates = sent = 0
    for _ in tqdm(range(times), desc="kill -9", disable=None):
        acked, end = _one_kill(url, first=sent, seconds=rng.uniform(0.0, longest))
        try:
            backup.verify(url)
        except StoreError:
            corrupt += 1
        acknowledged += len(acked) * EVENTS_PER_BATCH
        missing += sum(EVENTS_PER_BATCH - _stored(path, batch) for batch in acked)
        _send_again(url, range(sent, end))
        duplicates += _duplicates(path)
        sent = end
    return Killed(times, acknowledged, missing, corrupt, duplicates)


def _one_kill(url: URL, *, first: int, seconds: float) -> tuple[list[int], int]:
    """Numbers of the batches that were acknowledged, and one more than the greatest that may have been sent."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _write_forever(url, writing, first)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        received = pipe.read(64)  # the first acknowledgement
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and select.select([pipe], [], [], left)[0]:
            received += pipe.read(4096)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := pipe.read(4096):  # written before it died
            received += more
    acked = [int(line) for line in received.decode().splitlines()]
    return acked, max(acked, default=first) + IN_FLIGHT + 1


def _write_forever(url: URL, pipe: int, first: int) -> None:
    """The child process: keep batches in flight, write the number of each acknowledged one to `pipe`. Never returns."""
    try:
        writer = Writer(url, busy_timeout=10.0)
        slots = threading.Semaphore(IN_FLIGHT)
        number = first
        while True:
            slots.acquire()

            def done(future: object, number: int = number) -> None:
                if future.exception() is None:  # type: ignore[attr-defined]
                    os.write(pipe, f"{number}\n".encode())
                slots.release()

            writer.submit(RecordEvents(_batch(number))).add_done_callback(done)
            number += 1
    finally:
        os._exit(1)


def _batch(number: int) -> list[Event]:
    now = now_ms()
    return [
        Event(f"u{(number + i) % 500}", f"i{number * i % 300}", "click", now, now, idempotency_key=f"{number}/{i}")
        for i in range(EVENTS_PER_BATCH)
    ]


def _stored(path: Path, batch: int) -> int:
    with closing(connect_sqlite(path, 10.0)) as connection:
        sql = "SELECT count(*) FROM user_interactions WHERE idempotency_key >= ? AND idempotency_key < ?"
        return int(connection.execute(sql, (f"{batch}/", f"{batch}0")).fetchone()[0])


def _send_again(url: URL, batches: Iterable[int]) -> None:
    writer = Writer(url, busy_timeout=10.0, max_waiting=1 << 30)
    futures = [writer.submit(RecordEvents(_batch(number))) for number in batches]
    for future in futures:
        future.result()
    writer.close()


def _duplicates(path: Path) -> int:
    with closing(connect_sqlite(path, 10.0)) as connection:
        events, keys = connection.execute(
            "SELECT count(*), count(DISTINCT idempotency_key) FROM user_interactions"
        ).fetchone()
    return int(events - keys)
