"""A snapshot of a large database: seconds, greatest memory, and whether a writer waits.

    python -m experiments.loop.snapshot --url postgresql://me@127.0.0.1/recstage_bench --events 10000000

Fills the database, which must be empty but for the service's tables (`python -m serving.store upgrade`), with events
and shown lists; takes a snapshot in a process of its own while a writer stores an event every 20 ms; prints one JSON
line. `python -m experiments.benchmarks snapshot` does the same in a database that it makes and drops.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL

from experiments.benchmarks.report import Measurement, at_most
from recstage.errors import ConfigError, RecstageError
from serving.store.admin import migrate
from serving.store.db.connection import open_engine, parse_url

SERVER = "RECSTAGE_TEST_POSTGRES_URL"
DATABASE = "recstage_snapshot_benchmark"
MOST_MB, MOST_WAIT = 2048.0, 0.1
"""Greatest memory; longest write beside the snapshot as a share of its time: a blocked writer waits for all of it."""

USERS, ITEMS, LIST = 200_000, 20_000, 10
STATEMENTS = (
    "INSERT INTO users (user_id, created_at, history_version, opted_out)"
    " SELECT 'user-' || g, 0, g, g % 1000 = 0 FROM generate_series(1, :users) g",
    "INSERT INTO items (item_id, title, text, hidden, created_at, updated_at)"
    " SELECT 'item-' || g, 'Item ' || g, 'The text of item ' || g, false, 0, 0 FROM generate_series(1, :items) g",
    "INSERT INTO user_interactions (user_id, item_id, interaction_type, value, request_id, occurred_at, received_at)"
    " SELECT 'user-' || (1 + floor(random() * random() * :users)::int),"
    " 'item-' || (1 + floor(random() * random() * :items)::int),"
    " (ARRAY['view', 'click', 'like', 'save'])[1 + g % 4], CASE WHEN g % 4 = 0 THEN g % 60 END,"
    " CASE WHEN g % 10 = 0 THEN 'r-' || (g % :lists) END, 1790000000000 + g::bigint * 1000,"
    " 1790000000000 + g::bigint * 1000 FROM generate_series(1, :events) g",
    "INSERT INTO recommendation_impressions (request_id, user_id, items, method, model_version, shown_at)"
    " SELECT 'r-' || g, 'user-' || (1 + g % :users), (SELECT json_agg(json_build_array('item-' ||"
    f" (1 + (g * 7 + k * 13) % :items), 0.5, 1.0)) FROM generate_series(1, {LIST}) k), 'als', '1',"
    " 1790000000000 + g::bigint * 10000 FROM generate_series(1, :lists) g",
)
TAKE = """
import json, resource, sys, time
from pathlib import Path

from recstage.config import ServiceSource
from recstage.data.snapshots import extraction
began = time.perf_counter()
folder = extraction.take(ServiceSource(), Path(sys.argv[1]))
about = extraction.about(folder)
print(json.dumps({"seconds": time.perf_counter() - began, "events": about.events, "exposures": about.exposures,
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "files_mb": sum(path.stat().st_size for path in folder.iterdir()) / 1e6}))
"""
WRITE = text(
    "INSERT INTO user_interactions (user_id, item_id, interaction_type, occurred_at, received_at)"
    " VALUES ('user-1', 'item-1', 'click', :now, :now)"
)


def snapshots(url: str, events: int) -> Iterator[Measurement]:
    """A snapshot of so many events from a database of its own on a PostgreSQL server: that of `url`, or of the tests.
    Without a server the goals are missed."""
    named = url or os.environ.get(SERVER, "")
    if not named:
        note = f"no PostgreSQL: give --postgres URL, or set {SERVER}"
        yield Measurement("snapshot, greatest memory", math.nan, at_most(MOST_MB), "MB", note)
        return
    with _own_database(parse_url(named)) as own:
        migrate.upgrade(own)
        engine = open_engine(own, busy_timeout=30.0, statements=False)
        try:
            fill(engine, events)
            found = measure(own.render_as_string(hide_password=False), engine)
        finally:
            engine.dispose()
    note = f"{found['events']:,.0f} events, {found['exposures']:,.0f} exposures"
    yield Measurement("snapshot, greatest memory", found["peak_mb"], at_most(MOST_MB), "MB", note)
    yield Measurement("  seconds", found["seconds"], unit="s")
    yield Measurement("  files", found["files_mb"], unit="MB")
    share = found["write_max_ms"] / 1000 / found["seconds"]
    note = f"p50 {found['write_p50_ms']:g} ms, p99 {found['write_p99_ms']:g} ms, longest {found['write_max_ms']:g} ms"
    yield Measurement("  longest write beside it, share of its time", share, at_most(MOST_WAIT), note=note)


@contextlib.contextmanager
def _own_database(server: URL) -> Iterator[URL]:
    """A fresh database on a server, dropped at the end."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    drop = text(f'DROP DATABASE IF EXISTS "{DATABASE}" WITH (FORCE)')
    try:
        with engine.connect() as connection:
            connection.execute(drop)
            connection.execute(text(f'CREATE DATABASE "{DATABASE}"'))
        yield server.set(database=DATABASE)
    finally:
        with engine.connect() as connection:
            connection.execute(drop)
        engine.dispose()


def fill(engine: Engine, events: int) -> None:
    """Raises `ConfigError` where the database holds events already."""
    given = {"users": USERS, "items": ITEMS, "events": events, "lists": max(1, events // 30)}
    with engine.begin() as connection:
        if connection.execute(text("SELECT 1 FROM user_interactions LIMIT 1")).first():
            raise ConfigError("--url", rule="the database holds events already", fix="Give an empty one, or --filled")
        for statement in STATEMENTS:
            connection.execute(text(statement), {k: v for k, v in given.items() if f":{k}" in statement})


class Writer(threading.Thread):
    """Stores an event every 20 ms and keeps how long each took, in milliseconds."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(daemon=True)
        self._engine, self.stop, self.waits = engine, threading.Event(), list[float]()

    def run(self) -> None:
        while not self.stop.wait(0.02):
            began = time.perf_counter()
            with self._engine.begin() as connection:
                connection.execute(WRITE, {"now": int(time.time() * 1000)})
            self.waits.append(1000 * (time.perf_counter() - began))


def measure(url: str, engine: Engine) -> dict[str, float]:
    """One snapshot beside one writer."""
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(engine)
        writer.start()
        try:
            command = [sys.executable, "-c", TAKE, folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment(url))
        finally:
            writer.stop.set()
            writer.join()
    if done.returncode != 0:
        raise ConfigError("the snapshot", rule=(done.stderr.strip().splitlines() or ["failed"])[-1], fix="Correct that")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    waits = np.array(writer.waits)
    return {
        **{name: round(value, 1) for name, value in found.items()},
        "writes": len(waits),
        "write_p50_ms": round(float(np.median(waits)), 1),
        "write_p99_ms": round(float(np.percentile(waits, 99)), 1),
        "write_max_ms": round(float(waits.max()), 1),
    }


def _environment(url: str) -> dict[str, str]:
    return {**os.environ, "RECSTAGE_SERVING_DATABASE_URL": url}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser("python -m experiments.loop.snapshot", description=__doc__)
    parser.add_argument("--url", required=True, help="of a PostgreSQL database for this measurement alone")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--filled", action="store_true", help="it was filled before")
    chosen = parser.parse_args(arguments)
    try:
        engine = open_engine(parse_url(chosen.url), busy_timeout=30.0, statements=False)
        if not chosen.filled:
            fill(engine, chosen.events)
        print(json.dumps(measure(chosen.url, engine)))  # noqa: T201
    except RecstageError as error:
        print(f"recstage: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
