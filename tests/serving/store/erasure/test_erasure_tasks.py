"""The slow part of an erasure: recorded with it, tried again, finished by whichever process is there."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from recstage.config import root
from recstage.errors import StoreError
from serving.store.db.connection import connect_sqlite, sqlite_path
from serving.store.db.writer import Writer
from serving.store.erasure import tasks as erasure_tasks
from serving.store.erasure.erasures import Erase, erasure_state, open_erasures
from serving.store.erasure.tasks import ErasureTasks
from serving.store.repositories.events import RecordEvents
from serving.store.store import ERASURES
from serving.store.training.lineage import IndexedLineage, RecordTraining
from tests.serving.store.factories import event


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Registry:
    """An index of registered versions that can be unavailable."""

    def __init__(self, *registered: tuple[str, str]) -> None:
        self.registered, self.available, self.asked = registered, True, 0

    async def __call__(self):
        self.asked += 1
        if not self.available:
            raise StoreError("the registered versions", rule="they cannot be read", fix="Try again later")
        return self.registered


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry() -> Registry:
    return Registry(("recommender", "1"), ("recommender", "2"))


@pytest.fixture
def tasks(store, registry, clock, do) -> ErasureTasks:
    do(RecordTraining(("recommender", "1"), ["ann", "bob"]))
    do(RecordTraining(("recommender", "2"), ["bob"]))
    return ErasureTasks(store.reader, store.writer, IndexedLineage(store.reader, registry), clock=clock)


def erase(do, store, user_id: str) -> int:
    return do(Erase(user_id, drop_queued=store.impressions.forget)).erased_at


def test_an_erasure_of_this_process_is_finished_at_the_next_poll(store, do, tasks, registry):
    erase(do, store, "ann")
    asyncio.run(tasks.step())
    state = erasure_state(store.reader, "ann")
    assert (state.versions, state.why) == ((("recommender", "1"),), None)
    assert state.finished_at >= state.erased_at
    asyncio.run(tasks.step())
    assert registry.asked == 1
    assert erasure_state(store.reader, "bob") is None


def test_of_several_processes_the_elected_one_finishes_the_erasures_of_all(open_store):
    stores = [open_store() for _ in range(2)]
    registry = Registry()
    lineage = IndexedLineage(stores[0].reader, registry)
    first, second = (
        ErasureTasks(one.reader, one.writer, lineage, elected=partial(one.elected, ERASURES)) for one in stores
    )
    asyncio.run(first.step())  # the lock is free: it is elected
    stores[1].writer.submit(Erase("ann", drop_queued=stores[1].impressions.forget)).result(timeout=20)
    asyncio.run(second.step())
    assert registry.asked == 0
    asyncio.run(first.step())
    assert erasure_state(stores[1].reader, "ann").finished_at is not None
    assert [one.metrics.elected.labels(ERASURES)._value.get() for one in stores] == [1, 0]


def test_an_unavailable_registry_leaves_the_task_open_and_it_is_tried_again(store, do, tasks, clock, registry):
    registry.available = False
    erase(do, store, "ann")
    for _ in range(3):
        asyncio.run(tasks.step())
    state = erasure_state(store.reader, "ann")
    assert registry.asked == 1  # the next try is due in a minute
    assert (state.finished_at, state.versions) == (None, (("recommender", "1"),))
    assert "they cannot be read" in state.why
    registry.available = True
    clock.now += erasure_tasks.RETRY_SECONDS + 1
    asyncio.run(tasks.step())
    assert erasure_state(store.reader, "ann").why is None
    assert open_erasures(store.reader) == []


def test_a_user_who_is_erased_again_is_searched_for_again(store, do, tasks):
    erase(do, store, "ann")
    asyncio.run(tasks.step())
    erase(do, store, "ann")
    assert erasure_state(store.reader, "ann").finished_at is None
    asyncio.run(tasks.step())
    assert erasure_state(store.reader, "ann").finished_at is not None


def test_tasks_that_wait_for_long_are_known_to_health(store, do, monkeypatch):
    assert store.open_tasks() is None
    erase(do, store, "ann")
    assert store.open_tasks() is None
    monkeypatch.setattr("serving.store.store.OVERDUE_TASK_SECONDS", 0.0)
    assert store.open_tasks() == "1 since 0 minutes (not tried yet)"


def test_deleted_rows_are_in_no_file_of_the_database_once_the_task_is_done(url, store, do):
    if sqlite_path(url) is None:
        pytest.skip("a PostgreSQL server has files of its own")
    do(RecordEvents([event("easily-found-user", context={"page": "easily-found-page"})]))
    tasks = ErasureTasks(store.reader, store.writer, IndexedLineage(store.reader, None))
    erase(do, store, "easily-found-user")
    asyncio.run(tasks.step())
    content = b"".join(path.read_bytes() for path in sqlite_path(url).parent.glob("service.db*"))
    assert b"easily-found" not in content


def test_writes_go_on_while_the_log_cannot_be_emptied_because_it_is_read(url, store, do, monkeypatch):
    path = sqlite_path(url)
    if path is None:
        pytest.skip("PostgreSQL has no such log")
    monkeypatch.setattr(erasure_tasks, "CHECKPOINT_SECONDS", 0.6)
    tasks = ErasureTasks(store.reader, store.writer, IndexedLineage(store.reader, None))
    impatient = Writer(url, busy_timeout=0.3)
    reading = connect_sqlite(path, 1.0)
    try:
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM users").fetchall()
        do(RecordEvents([event("ann")]))
        with ThreadPoolExecutor(1) as thread:
            emptied = thread.submit(tasks._empty_log)
            written = 0
            while not emptied.done():
                impatient.submit(RecordEvents([event(f"user-{written}")])).result()
                written += 1
            assert not emptied.result()
        assert written
        reading.execute("COMMIT")
        assert tasks._empty_log()
    finally:
        reading.close()
        impatient.close()


def test_a_log_that_is_being_read_leaves_the_task_open(store, do, monkeypatch):
    tasks = ErasureTasks(store.reader, store.writer, IndexedLineage(store.reader, None))
    monkeypatch.setattr(ErasureTasks, "_empty_log", lambda self: False)
    erase(do, store, "ann")
    asyncio.run(tasks.step())
    state = erasure_state(store.reader, "ann")
    assert (state.finished_at, state.why) == (None, erasure_tasks.NOT_EMPTIED)


KILLED = """
import os, signal
from serving.monitoring.metrics import Metrics
from serving.settings import load
from serving.store.erasure.erasures import Erase
from serving.store.store import Store

store = Store.open(load(), Metrics())
store.writer.submit(Erase("ann", drop_queued=store.impressions.forget)).result()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_an_erasure_whose_process_was_killed_is_finished_by_the_next(url, store, do):
    do(RecordEvents([event("ann")]))
    do(RecordTraining(("recommender", "1"), ["ann"]))
    environment = {
        **os.environ,
        "RECSTAGE_SERVING_FOLLOW_REGISTRY": "false",
        "RECSTAGE_SERVING_DATABASE_URL": url.render_as_string(hide_password=False),
    }
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=root(), env=environment, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(open_erasures(store.reader)) == 1
    assert erasure_state(store.reader, "ann").finished_at is None
    next_process = ErasureTasks(store.reader, store.writer, IndexedLineage(store.reader, None))
    asyncio.run(next_process.step())
    state = erasure_state(store.reader, "ann")
    assert state.versions == (("recommender", "1"),)
    assert state.finished_at is not None
