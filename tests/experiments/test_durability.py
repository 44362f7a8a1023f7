"""The durability benchmark kills a real writer, and notices lost and doubled events."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from experiments.benchmarks import durability
from serving.store.admin import migrate
from serving.store.db.connection import parse_url, sqlite_path
from serving.store.db.writer import Writer
from serving.store.repositories.events import Event, RecordEvents, now_ms

pytestmark = pytest.mark.integration


@pytest.fixture
def database(tmp_path):
    """The URL of a new SQLite database."""
    url = parse_url(f"sqlite:///{tmp_path}/service.db")
    migrate.upgrade(url)
    return url


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("experiments.benchmarks", ["--only", "durability", "--kills", "3"]),
        ("serving.store.drills", ["kill", "--times", "1"]),  # as version 0.1 called it
    ],
)
def test_after_kill_9_every_acknowledged_event_is_stored_once(module, arguments):
    """A few of the fifty kills; in a process of its own, because it forks."""
    run = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    acknowledged, *others = json.loads(run.stdout.splitlines()[-1])
    assert acknowledged["value"] > 0
    assert [row["name"] for row in others] == [
        f"{arguments[-1]} kills -9, acknowledged events missing",
        "  databases that fail the integrity check",
        "  events twice after a retry",
    ]
    assert [(row["value"], row["goal"], row["reached"]) for row in others] == [(0, "<= 0", True)] * 3


def test_lost_and_doubled_events_are_noticed(database):
    path = sqlite_path(database)
    durability._send_again(database, range(3))
    assert [durability._stored(path, batch) for batch in range(4)] == [20, 20, 20, 0]
    assert durability._duplicates(path) == 0
    writer = Writer(database)
    now = now_ms()
    writer.submit(
        RecordEvents([Event("u1", "i1", "click", now, now)])
    ).result()  # without a key: one more row than keys
    writer.close()
    assert durability._duplicates(path) == 1
