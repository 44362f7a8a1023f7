"""Whether this process holds the lock of some work."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress

from sqlalchemy.engine import URL

from recstage.election.locks import locks_of

log = logging.getLogger(__name__)
CHECK_SECONDS = 1.0
"""Between two looks at one lock: so long the death of a process that holds it goes unnoticed."""


class Election:
    """The locks of one process. Safe to use from several threads; opens nothing before it is asked."""

    def __init__(self, url: URL) -> None:
        """`url`: of the service's database."""
        self._locks = locks_of(url)
        self._held: set[str] = set()
        self._look_at: dict[str, float] = {}
        self._lock = threading.Lock()
        self._failed = False

    def holds(self, work: str) -> bool:
        """Whether this process is the one that does `work` now, as of a second ago at most.

        It takes the lock where it is free. Never raises: while the database is away no process is sure to hold it.
        """
        with self._lock:
            now = time.monotonic()
            if now >= self._look_at.get(work, 0.0):
                self._look(work)
                self._look_at[work] = time.monotonic() + CHECK_SECONDS
            return work in self._held

    @property
    def away(self) -> bool:
        """Whether the last look failed, so that it is not known who holds what."""
        return self._failed

    def close(self) -> None:
        """Give every lock back."""
        with self._lock:
            self._drop()

    def _look(self, work: str) -> None:
        try:
            if work in self._held:
                self._locks.check()
            elif self._locks.take(work):
                self._held.add(work)
                log.info("this process is elected", extra={"event": "elected", "work": work})
            self._failed = False
        except Exception as error:  # a database that is away: whoever reaches it takes over
            if self._held or not self._failed:
                given = {"event": "election-failed", "held": sorted(self._held), "error": type(error).__name__}
                log.warning("the election cannot be held", extra=given)
            self._failed = True
            self._drop()

    def _drop(self) -> None:
        self._held.clear()
        with suppress(Exception):
            self._locks.close()
