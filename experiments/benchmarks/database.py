"""Proofs by force: kill the writer in the middle, again and again; and count how many events a second go in over HTTP.

    python -m experiments.benchmarks.database kill --times 50
    python -m experiments.benchmarks.database ingest --seconds 10

Each works on a database of its own in a temporary folder, prints a table to stderr and one JSON object to stdout.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from sqlalchemy.engine import URL
from tqdm import tqdm

from recstage.errors import StoreError
from serving.store.admin import backup, migrate
from serving.store.db.connection import connect_sqlite, parse_url
from serving.store.db.writer import Writer
from serving.store.repositories.events import Event, RecordEvents, now_ms

EVENTS_A_BATCH, IN_FLIGHT = 20, 8


# -- kill -9 ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Killed:
    """What was found after the kills: events acknowledged before, those of them that were missing, checks of the file
    that failed, and events that were there twice after everything had been sent once more."""

    kills: int
    acknowledged: int
    missing: int
    unsound: int
    twice: int

    @property
    def passed(self) -> bool:
        return not (self.missing or self.unsound or self.twice)


def kill_during_writes(path: Path, times: int, *, seed: int = 0, longest: float = 0.5) -> Killed:
    """Start a writer on the SQLite file, kill -9 it within `longest` seconds of its first word, look, and send all
    of it again with the same keys; `times` over. The process must not run other threads (it forks)."""
    url = URL.create("sqlite", database=str(path))
    chance = random.Random(seed)
    acknowledged = missing = unsound = twice = sent = 0
    for _ in tqdm(range(times), desc="kill -9", disable=None):
        acked, begun = _one_kill(url, first=sent, seconds=chance.uniform(0.0, longest))
        try:
            backup.verify(url)
        except StoreError:
            unsound += 1
        acknowledged += len(acked) * EVENTS_A_BATCH
        missing += sum(EVENTS_A_BATCH - _stored(path, batch) for batch in acked)
        _send_again(url, range(sent, begun))
        twice += _twice(path)
        sent = begun
    return Killed(times, acknowledged, missing, unsound, twice)


def _one_kill(url: URL, *, first: int, seconds: float) -> tuple[list[int], int]:
    """Numbers of the batches that were acknowledged, and one more than the greatest that may have been sent."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _write_forever(url, writing, first)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        said = pipe.read(64)  # it has begun
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and select.select([pipe], [], [], left)[0]:
            said += pipe.read(4096)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := pipe.read(4096):  # what it had said before it died
            said += more
    acked = [int(line) for line in said.decode().splitlines()]
    return acked, max(acked, default=first) + IN_FLIGHT + 1


def _write_forever(url: URL, pipe: int, first: int) -> None:
    """The child: keep several batches in flight, say the number of each that is acknowledged. Never returns."""
    try:
        writer = Writer(url, busy_timeout=10.0)
        places = threading.Semaphore(IN_FLIGHT)
        number = first
        while True:
            places.acquire()

            def done(future: object, number: int = number) -> None:
                if future.exception() is None:  # type: ignore[attr-defined]
                    os.write(pipe, f"{number}\n".encode())
                places.release()

            writer.submit(RecordEvents(_batch(number))).add_done_callback(done)
            number += 1
    finally:
        os._exit(1)


def _batch(number: int) -> list[Event]:
    now = now_ms()
    return [
        Event(f"u{(number + i) % 500}", f"i{number * i % 300}", "click", now, now, idempotency_key=f"{number}/{i}")
        for i in range(EVENTS_A_BATCH)
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


def _twice(path: Path) -> int:
    with closing(connect_sqlite(path, 10.0)) as connection:
        events, keys = connection.execute(
            "SELECT count(*), count(DISTINCT idempotency_key) FROM user_interactions"
        ).fetchone()
    return int(events - keys)


# -- events over HTTP -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ingested:
    """Events acknowledged, and what that took."""

    batch: int
    connections: int
    seconds: float
    events: int
    events_a_second: float
    cpu_microseconds_an_event: float
    """Of the service: what does not depend on who else uses the machine."""
    p50_ms: float
    p99_ms: float
    refused: int


@dataclass(frozen=True)
class Service:
    """A service under test."""

    port: int
    process: subprocess.Popen

    def cpu_seconds(self) -> float:
        """What it has used so far, on all cores."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)


@contextmanager
def service(folder: Path) -> Iterator[Service]:
    """A service of its own, without a registry."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "RECSTAGE_SERVING_DATABASE_URL": f"sqlite:///{folder}/service.db",
        "RECSTAGE_SERVING_BUNDLE_DIR": str(folder / "bundles"),
        "RECSTAGE_SERVING_FOLLOW_REGISTRY": "false",
        "RECSTAGE_SERVING_OWN_MODELS_SECONDS": "3600",
    }
    command = [sys.executable, "-m", "serving", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield Service(port, process)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health/live")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the service did not start")


def ingest(service: Service, *, batch: int, connections: int, seconds: float, seed: int = 0) -> Ingested:
    """Post batches over so many connections for so long; what is counted was acknowledged."""
    bodies = [_body(np.random.default_rng(seed + i), batch) for i in range(8)]
    latencies: list[float] = []
    refused = [0]
    stop = time.monotonic() + seconds

    def post(place: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        sent = place
        while time.monotonic() < stop:
            began = time.perf_counter()
            connection.request("POST", "/api/interactions", bodies[sent % 8], {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            if response.status == 201:
                latencies.append(time.perf_counter() - began)
            else:
                refused[0] += 1
            sent += 1

    used = service.cpu_seconds()
    began = time.perf_counter()
    threads = [threading.Thread(target=post, args=(i,)) for i in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    events = len(latencies) * batch
    p50, p99 = (float(np.percentile(latencies or [0.0], q)) * 1000 for q in (50, 99))
    return Ingested(
        batch=batch,
        connections=connections,
        seconds=round(took, 2),
        events=events,
        events_a_second=round(events / took, 1),
        cpu_microseconds_an_event=round((service.cpu_seconds() - used) / max(events, 1) * 1e6, 1),
        p50_ms=round(p50, 2),
        p99_ms=round(p99, 2),
        refused=refused[0],
    )


def _body(chance: np.random.Generator, batch: int) -> bytes:
    kinds = ("view", "view", "view", "click", "click", "like", "save", "share")
    events = [
        {
            "user_id": f"u{chance.integers(6040)}",
            "item_id": f"i{min(int(chance.pareto(1.0) * 20), 3700)}",
            "interaction_type": kinds[int(chance.integers(len(kinds)))],
            "value": round(float(chance.random()) * 60, 1),
            "context": {"page": "home"},
        }
        for _ in range(batch)
    ]
    return json.dumps({"events": events} if batch > 1 else events[0]).encode()


# -- the command line -------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m experiments.benchmarks.database", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    kill = commands.add_parser("kill", help="kill -9 the writer, look, send again")
    kill.add_argument("--times", type=int, default=50)
    kill.add_argument("--seed", type=int, default=0)
    load = commands.add_parser("ingest", help="events a second over HTTP, in batches and one by one")
    load.add_argument("--seconds", type=float, default=10.0)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="recstage-drill-") as folder:
        if chosen.command == "kill":
            path = Path(folder) / "service.db"
            migrate.upgrade(parse_url(f"sqlite:///{path}"))
            found = kill_during_writes(path, chosen.times, seed=chosen.seed)
            _say(asdict(found))
            return 0 if found.passed else 1
        with service(Path(folder)) as running:
            runs = [
                ingest(running, batch=batch, connections=connections, seconds=chosen.seconds)
                for batch, connections in ((500, 4), (100, 4), (1, 32))
            ]
        backup.verify(parse_url(f"sqlite:///{folder}/service.db"))
        _say([asdict(run) for run in runs])
    return 0


def _say(found: dict | list) -> None:
    for row in found if isinstance(found, list) else [found]:
        print("  ".join(f"{name} {value}" for name, value in row.items()), file=sys.stderr)  # noqa: T201
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
