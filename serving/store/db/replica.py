"""Reads that may be some seconds old: from a read replica of PostgreSQL, from the primary where it is away or behind.

How far a replica is behind is measured by the positions in the primary's log that this process saw, and when it saw
them: no clock of a server has a part in it, and a replica that lost its primary falls behind like any other.
https://www.postgresql.org/docs/current/hot-standby.html
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL

from recstage.errors import StoreError
from serving.store.db.errors import StoreUnavailable
from serving.store.db.reader import Observe, Query, Reader

LOOK_SECONDS = 1.0
_REMEMBERED = 600  # positions of the primary, one a look
_KEY = "(SELECT value FROM secrets WHERE name = 'digests')"
_WRITTEN = Query("primary_position", text(f"SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint, {_KEY}"))
_REPLAYED = Query(
    "replica_position",
    text(f"SELECT pg_is_in_recovery(), (pg_last_wal_replay_lsn() - '0/0')::bigint, {_KEY}"),
)


class ReplicaReader(Reader):
    """Reads from the replica while it is at most `max_lag` seconds behind; else, or where that fails, the primary."""

    def __init__(
        self,
        url: URL,
        primary: Reader,
        *,
        max_lag: float,
        observe: Observe = lambda name, seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(url, observe=observe)
        self._primary, self._max_lag, self._clock = primary, max_lag, clock
        self._written: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)
        self._looked_at = float("-inf")
        self._looking = threading.Lock()
        self.lag: float | None = None
        """Seconds behind at the last look; None where that is not known."""
        self.trouble: str | None = "it was not looked at yet"
        """Why the replica is not read; None where it is."""

    def rows(self, query: Query, parameters: Mapping[str, Any] | None = None) -> list[tuple]:
        if self.trouble is None:
            try:
                return super().rows(query, parameters)
            except StoreUnavailable:
                self.lag, self.trouble = None, "it does not answer"
            except StoreError:  # such as a read that the replica ended to go on replaying
                pass
        return self._primary.rows(query, parameters)

    def current(self) -> Reader:
        return self if self.trouble is None else self._primary

    def look(self) -> None:
        """See how far the replica is behind; at most once a second, and by one thread at a time. Never raises."""
        if self._clock() - self._looked_at < LOOK_SECONDS or not self._looking.acquire(blocking=False):
            return
        try:
            self.lag, self.trouble = self._found()
        finally:
            self._looked_at = self._clock()
            self._looking.release()

    def _found(self) -> tuple[float | None, str | None]:
        try:
            written, key = self._primary.rows(_WRITTEN)[0]
        except StoreError:  # how much was written meanwhile is not known: the lag grows with the time
            key = None
        else:
            self._note(int(written))
        try:
            in_recovery, replayed, replicated_key = super().rows(_REPLAYED)[0]
        except StoreError as error:
            return None, f"it does not answer ({error.rule})"
        if key is not None and bytes(key) != bytes(replicated_key or b""):
            return None, "it holds another database, or nothing yet"
        if not in_recovery or replayed is None:
            return None, "it follows no primary"
        lag = self._lag(int(replayed), up_to_now=key is not None)
        if lag is None:
            return None, "it has not caught up since this process started"
        return lag, None if lag <= self._max_lag else f"it is {lag:.0f} seconds behind"

    def _note(self, written: int) -> None:
        if self._written and written < self._written[-1][1]:  # another server took its place
            self._written.clear()
        self._written.append((self._clock(), written))

    def _lag(self, replayed: int, *, up_to_now: bool) -> float | None:
        """Seconds since the primary had written no more than the replica has replayed; None: longer than known.

        `up_to_now`: the newest position was read just now.
        """
        place = bisect_right(self._written, replayed, key=lambda sample: sample[1])
        if place == 0:
            return None
        return 0.0 if up_to_now and place == len(self._written) else self._clock() - self._written[place - 1][0]
