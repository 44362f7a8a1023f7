"""Finishes erasures: what `DELETE /api/users/{id}` leaves to do is recorded in the database, and survives a restart.

Two things take longer than a caller should wait: emptying the write-ahead log of SQLite, which still holds the deleted
rows, and searching the registered versions for the user, which imports MLflow in another process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from recstage.errors import StoreError
from serving.store.db.connection import connect_sqlite, sqlite_path, truncate_log
from serving.store.db.reader import Reader
from serving.store.db.writer import Writer
from serving.store.erasure.erasures import OpenErasure, RecordErasureTask, open_erasures
from serving.store.training.lineage import Lineage, TrainedOn

log = logging.getLogger("serving.store.erasures")
POLL_SECONDS = 1.0
RETRY_SECONDS = 60.0
CHECKPOINT_SECONDS = 10.0
PAUSE_SECONDS = 0.25
"""Between two tries to empty the log: writers go on meanwhile."""
NOT_EMPTIED = "the write-ahead log of the database could not be emptied, because it is being read"


class ErasureTasks:
    """Finishes the erasures of every process, in the one that is elected."""

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        lineage: Lineage,
        *,
        elected: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`elected`: whether this process is the one that does it; `clock`: seconds."""
        self._reader, self._writer, self._lineage = reader, writer, lineage
        self._elected, self._clock = elected, clock
        self._retry_at: dict[OpenErasure, float] = {}

    async def run(self) -> None:
        """Finish erasures until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(POLL_SECONDS)

    async def step(self) -> None:
        """Try each erasure that is due once, where this process is elected. Never raises but `CancelledError`."""
        try:
            if not await asyncio.to_thread(self._elected):
                return
            tasks = await asyncio.to_thread(open_erasures, self._reader)
            self._retry_at = {task: self._retry_at.get(task, 0.0) for task in tasks}
            for task in tasks:
                if self._retry_at[task] <= self._clock():
                    await self._finish(task)
        except StoreError:  # the database is unavailable, which health tells: the tasks are in it
            return
        except Exception:  # the loop must survive whatever an external process or a disk does
            log.exception("an erasure was not finished", extra={"event": "erasure-failed"})

    async def _finish(self, task: OpenErasure) -> None:
        self._retry_at[task] = self._clock() + RETRY_SECONDS
        emptied = await asyncio.to_thread(self._empty_log)
        found: TrainedOn = await self._lineage.trained_on_digest(task.person)
        finished = emptied and (found.complete or not found.again)
        why = found.why if emptied else NOT_EMPTIED
        record = RecordErasureTask(task, found.versions, why, finished=finished)
        await asyncio.wrap_future(self._writer.submit(record))
        if finished:
            log.info("an erasure was finished", extra={"event": "erasure-finished", "complete": found.complete})

    def _empty_log(self) -> bool:
        """Move the write-ahead log into the database and truncate it; False where a reader holds it."""
        path = sqlite_path(self._reader.url)
        if path is None:
            return True
        connection = connect_sqlite(path, CHECKPOINT_SECONDS)
        try:
            until = time.monotonic() + CHECKPOINT_SECONDS
            while not (emptied := truncate_log(connection)) and time.monotonic() < until:
                time.sleep(PAUSE_SECONDS)
            return emptied
        finally:
            connection.close()
