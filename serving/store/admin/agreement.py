"""Whether the running process and its database still agree: on the revision of the tables, and on the time.

Hosts are updated one after the other, and their clocks may differ: both are told while the service goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import text

from recstage.errors import StoreError
from serving.store.admin import revision
from serving.store.db.connection import sqlite_path
from serving.store.db.reader import Query, Reader

LOOK_SECONDS = 10.0
MOST_SECONDS = 5.0
"""By which a clock may differ: events are ordered and rules start by it."""
_CLOCK = Query("database_clock", text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"))


class Agreement:
    """What a process and its database disagree on, looked at every `LOOK_SECONDS`."""

    def __init__(self, reader: Reader, *, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since 1970, as this host tells them."""
        self._reader, self._clock = reader, clock
        self._has_clock = sqlite_path(reader.url) is None
        self._look_at = 0.0
        self._found: dict[str, str] = {}

    def troubles(self) -> dict[str, str]:
        """In words, by `revision` and `clock`; nothing of a database that does not answer."""
        if time.monotonic() >= self._look_at:
            try:
                self._found = {**self._revision(), **(self._time() if self._has_clock else {})}
            except StoreError:
                self._found = {}
            self._look_at = time.monotonic() + LOOK_SECONDS
        return self._found

    def _revision(self) -> dict[str, str]:
        found, needed = revision.found_in(self._reader), revision.newest()
        if found is None or found == needed:
            return {}
        return {"revision": f"it is at revision {found}, and this code needs {needed}"}

    def _time(self) -> dict[str, str]:
        before = self._clock()
        there = self._reader.rows(_CLOCK)[0][0] / 1000
        after = self._clock()
        difference = min((before - there, after - there), key=abs)
        if before <= there <= after or abs(difference) <= MOST_SECONDS:
            return {}
        return {"clock": f"this host is {abs(difference):.0f} seconds {'ahead' if difference > 0 else 'behind'}"}
