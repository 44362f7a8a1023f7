"""The writer thread of a process: it commits everything submitted in the meantime as one transaction (group commit).

`submit` returns a future that is done when the commit is on disk. Waiting for the disk is most of what a write costs
(`python -m experiments.benchmarks --only ingest`), so events that arrive during one commit share the next. A task that
fails is rolled back alone (a savepoint); a commit that fails, fails for all tasks in it.
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

from sqlalchemy import Connection, exc, update
from sqlalchemy.engine import URL

from recstage.errors import StoreError
from serving.store.db.connection import WRITE, is_sqlite, open_engine, translate_errors, truncate_log
from serving.store.db.errors import StoreBusy, StoreUnavailable
from serving.store.db.tables import Counter

log = logging.getLogger("serving.store")
T = TypeVar("T")
Outcome = Any | BaseException
_MAX_GROUP_SIZE = 4_000  # rows of one transaction: bounds how long other processes wait for the lock
_TICK = 0.1  # seconds between two writes of the backlog: fewer, larger transactions cost less a row


class Task(Generic[T]):
    """Something to write; `size` is about its number of rows."""

    name: ClassVar[str]
    purge_wal: ClassVar[bool] = False
    """Whether the write-ahead log must be emptied after it, so that deleted data is gone from there too."""
    size: int = 1

    def run(self, connection: Connection) -> T:
        """Write, inside a transaction."""
        raise NotImplementedError

    @classmethod
    def run_all(cls, connection: Connection, tasks: Sequence[Any]) -> list[Outcome] | None:
        """Write several tasks of this class at once; the result or exception of each. None: run them one by one."""
        return None


class _Probe(Task[None]):
    """Writes one row of the counters as it is: a commit like any other."""

    name = "probe"

    def run(self, connection: Connection) -> None:
        connection.execute(update(Counter).values(value=Counter.value))


class Backlog(Protocol):
    """Work that no caller waits for, and that may be dropped."""

    def take(self) -> Task[None] | None:
        """The next task, None where there is none."""
        ...

    def written(self, task: Any) -> None:
        """The task's transaction is committed."""
        ...

    def failed(self, task: Any) -> None:
        """The task could not be written."""
        ...


class Writer:
    """The writer thread of a process. It starts with its first task."""

    def __init__(
        self,
        url: URL,
        *,
        busy_timeout: float = 2.0,
        max_waiting: int = 20_000,
        observe: Callable[[str, float], None] = lambda name, seconds: None,
    ) -> None:
        """Nothing is opened or started yet.

        `busy_timeout`: seconds to wait for a lock; `max_waiting`: rows that may be queued; `observe`: called with the
        name and seconds of each commit.
        """
        self._url, self._engine = url, open_engine(url, busy_timeout=busy_timeout)
        self._max_waiting, self._observe = max_waiting, observe
        self._waiting: deque[tuple[Task, Future]] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._backlog: Backlog | None = None
        self._next_tick = 0.0
        self.failure: Exception | None = None
        """Why the last group could not be committed; None where it was."""

    def attach(self, backlog: Backlog) -> None:
        """Write tasks of `backlog` every `_TICK` seconds."""
        self._backlog = backlog

    def submit(self, task: Task[T]) -> Future[T]:
        """Write `task` as soon as possible. Raises `StoreBusy` where the queue is full.

        The future raises a `StoreError` where the database fails, or what the task raised.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closing:
                raise StoreUnavailable(
                    "a write", rule="the service is stopping", fix="Send it again once it has restarted"
                )
            if self._size and self._size + task.size > self._max_waiting:
                raise StoreBusy(
                    f"{self._size} writes waiting",
                    rule=f"at most {self._max_waiting} may wait",
                    fix="Try again in a moment",
                )
            self._waiting.append((task, future))
            self._size += task.size
            self._changed.notify()
            self._start()
        return future

    def wake(self) -> None:
        """Start the thread, because the backlog has a task."""
        if self._thread is None:
            with self._changed:
                if not self._closing:
                    self._start()

    def probe(self) -> None:
        """Write next to nothing, to learn whether writes succeed again; nothing is done while writes wait."""
        if not self._waiting:
            with suppress(StoreError):
                self.submit(_Probe())

    def close(self) -> None:
        """Write what is queued, then stop."""
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
                backlog_task = self._next_backlog_task(ending)
                if backlog_task is not None:
                    group.insert(0, (backlog_task, Future()))
                written = self._write(group, backlog_task) if group else True
            except Exception:  # the thread must go on: every write depends on it
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
            while self._waiting and (not group or size + self._waiting[0][0].size <= _MAX_GROUP_SIZE):
                task, future = self._waiting.popleft()
                size += task.size
                if future.set_running_or_notify_cancel():
                    group.append((task, future))
            self._size -= size
            return group, self._closing and not self._waiting

    def _next_backlog_task(self, ending: bool) -> Task[None] | None:
        now = time.monotonic()
        if self._backlog is None or (now < self._next_tick and not ending):
            return None
        self._next_tick = now + _TICK
        return self._backlog.take()

    def _write(self, group: list[tuple[Task, Future]], backlog_task: Task[None] | None) -> bool:
        """Write a group as one transaction; returns whether it was committed."""
        began = time.perf_counter()
        committed = False
        try:
            with translate_errors(self._url), self._engine.connect() as connection:
                connection.execution_options(**WRITE)
                with connection.begin():
                    outcomes = _run(connection, [task for task, _ in group])
            committed, self.failure = True, None
            self._observe("commit", time.perf_counter() - began)
        except Exception as error:
            if not isinstance(error, StoreError):
                log.exception("write failed", extra={"event": "write-failed"})
            outcomes, self.failure = [error] * len(group), error
        for (task, future), outcome in zip(group, outcomes, strict=True):
            if task is backlog_task and isinstance(outcome, Exception) and self._backlog is not None:
                self._backlog.failed(task)
                if not isinstance(outcome, StoreError):
                    log.error("backlog failed", exc_info=outcome, extra={"event": "backlog-failed"})
            elif task is backlog_task and self._backlog is not None:
                self._backlog.written(task)
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        if any(task.purge_wal for task, _ in group):
            self._truncate_wal()
        return committed

    def _truncate_wal(self) -> None:
        if is_sqlite(self._engine.dialect):
            with suppress(Exception), self._engine.connect() as connection:
                truncate_log(connection.connection.driver_connection)  # type: ignore[arg-type]


def _run(connection: Connection, tasks: Sequence[Task]) -> list[Outcome]:
    """The result, or the exception, of each task; consecutive tasks of one class are written together."""
    outcomes: list[Outcome] = []
    for _, same_class in groupby(tasks, key=type):
        some = list(same_class)
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
            raise  # locked, full, unavailable: the whole transaction may be gone, and the savepoint with it
        savepoint.rollback()
        return error
    except Exception as error:
        savepoint.rollback()
        return error
    savepoint.commit()
    return result
