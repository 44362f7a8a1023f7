"""All writes of a process go through one thread, which commits whatever has come in the meantime as one transaction.

A caller hands in a task and gets a future that is done when the commit has reached the disk. Waiting for the disk is
what a write costs: a hundred single events that arrive while one commit is under way share the next. A task that fails
is undone alone (a savepoint); a commit that fails, fails for all that were in it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from sqlalchemy import Connection, exc
from sqlalchemy.engine import URL

from recstage.errors import StoreError
from serving.store.db.connection import WRITE, is_sqlite, open_engine, translated
from serving.store.db.errors import StoreAway, StoreBusy

log = logging.getLogger("serving.store")
T = TypeVar("T")
Outcome = Any | BaseException
_LARGEST_GROUP = 4_000  # rows of one transaction: some tens of milliseconds, so that nobody waits long for the lock
_TICK = 0.04  # seconds between two looks at the backlog: little is written at once, so that answers wait little for it


class Task(Generic[T]):
    """Something to write. `size` counts towards what may wait."""

    name: ClassVar[str]
    leaves_traces: ClassVar[bool] = False
    """Whether what it deletes must leave the write-ahead log as well."""
    size: int = 1

    def run(self, connection: Connection) -> T:
        """Write, inside a transaction."""
        raise NotImplementedError

    @classmethod
    def run_all(cls, connection: Connection, tasks: Sequence[Any]) -> list[Outcome] | None:
        """Write several tasks of this class at once: the result, or the exception, of each. None: one by one."""
        return None


class Backlog(Protocol):
    """Work that nobody waits for, and that may be lost."""

    def take(self) -> Task[None] | None:
        """What is to be written now, None where nothing is."""
        ...

    def failed(self, task: Any) -> None:
        """The task could not be written."""
        ...


class Writer:
    """The writing thread of a process. Starts with its first task."""

    def __init__(
        self,
        url: URL,
        *,
        busy_timeout: float = 2.0,
        max_waiting: int = 20_000,
        observe: Callable[[str, float], None] = lambda name, seconds: None,
    ) -> None:
        self._url, self._engine = url, open_engine(url, busy_timeout=busy_timeout)
        self._max_waiting, self._observe = max_waiting, observe
        self._waiting: deque[tuple[Task, Future]] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._backlog: Backlog | None = None
        self._next_tick = 0.0

    def attach(self, backlog: Backlog) -> None:
        """Write `backlog` whenever there is time."""
        self._backlog = backlog

    def submit(self, task: Task[T]) -> Future[T]:
        """Write `task` as soon as possible. Raises `StoreBusy` where too much is waiting already; the future raises a
        `StoreError` where the database refuses, or what the task raised."""
        future: Future[T] = Future()
        with self._changed:
            if self._closing:
                raise StoreAway("a write", rule="the service is stopping", fix="Send it to the next one")
            if self._size and self._size + task.size > self._max_waiting:
                raise StoreBusy(
                    f"{self._size} writes waiting",
                    rule=f"at most {self._max_waiting} wait",
                    fix="Try again in a moment",
                )
            self._waiting.append((task, future))
            self._size += task.size
            self._changed.notify()
            self._start()
        return future

    def wake(self) -> None:
        """The backlog has something."""
        if self._thread is None:
            with self._changed:
                if not self._closing:
                    self._start()

    def close(self) -> None:
        """Write what waits, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=30)
        self._engine.dispose()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            try:
                group, ending = self._next_group()
                spare = self._spare(ending)
                if spare is not None:
                    group.insert(0, (spare, Future()))
                written = self._write(group, spare) if group else True
            except Exception:  # nobody would be answered any more without this thread
                log.exception("writer failed", extra={"event": "writer-failed"})
                continue
            if ending and (not group or not written):
                return

    def _next_group(self) -> tuple[list[tuple[Task, Future]], bool]:
        with self._changed:
            if not self._waiting and not self._closing:
                self._changed.wait(_TICK if self._backlog is not None else None)
            group: list[tuple[Task, Future]] = []
            size = 0
            while self._waiting and (not group or size + self._waiting[0][0].size <= _LARGEST_GROUP):
                task, future = self._waiting.popleft()
                size += task.size
                if future.set_running_or_notify_cancel():
                    group.append((task, future))
            self._size -= size
            return group, self._closing and not self._waiting

    def _spare(self, ending: bool) -> Task[None] | None:
        now = time.monotonic()
        if self._backlog is None or (now < self._next_tick and not ending):
            return None
        self._next_tick = now + _TICK
        return self._backlog.take()

    def _write(self, group: list[tuple[Task, Future]], spare: Task[None] | None) -> bool:
        """One transaction; whether it was committed."""
        began = time.perf_counter()
        committed = False
        try:
            with translated(self._url), self._engine.connect() as connection:
                connection.execution_options(**WRITE)
                with connection.begin():
                    outcomes = _run(connection, [task for task, _ in group])
            committed = True
            self._observe("commit", time.perf_counter() - began)
        except Exception as error:
            if not isinstance(error, StoreError):
                log.exception("write failed", extra={"event": "write-failed"})
            outcomes = [error] * len(group)
        for (task, future), outcome in zip(group, outcomes, strict=True):
            if task is spare and isinstance(outcome, Exception) and self._backlog is not None:
                self._backlog.failed(task)
                if not isinstance(outcome, StoreError):
                    log.error("backlog failed", exc_info=outcome, extra={"event": "backlog-failed"})
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        if any(task.leaves_traces for task, _ in group):
            self._empty_log()
        return committed

    def _empty_log(self) -> None:
        if is_sqlite(self._engine.dialect):
            with suppress(Exception), self._engine.connect() as connection:
                connection.connection.driver_connection.execute(  # type: ignore[union-attr]
                    "PRAGMA wal_checkpoint(TRUNCATE)"
                )


def _run(connection: Connection, tasks: Sequence[Task]) -> list[Outcome]:
    """The result, or the exception, of each task."""
    outcomes: list[Outcome] = []
    for _, alike in groupby(tasks, key=type):
        some = list(alike)
        joined = _attempt(connection, partial(some[0].run_all, connection, some)) if len(some) > 1 else None
        if isinstance(joined, list):
            outcomes += joined
        else:
            outcomes += [_attempt(connection, partial(task.run, connection)) for task in some]
    return outcomes


def _attempt(connection: Connection, write: Callable[[], Any]) -> Outcome:
    savepoint = connection.begin_nested()
    try:
        result = write()
    except exc.SQLAlchemyError as error:
        if not isinstance(error, exc.IntegrityError | exc.DataError):
            raise  # locked, full, away: the whole transaction may be gone, and the savepoint with it
        savepoint.rollback()
        return error
    except Exception as error:
        savepoint.rollback()
        return error
    savepoint.commit()
    return result
