"""The items that must not be served now: hidden, deleted or expired."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from dataclasses import replace

from sqlalchemy import or_, select

from serving.interfaces import HiddenItems
from serving.store.db import change_counters
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import Item
from serving.store.repositories.events import now_ms

_HIDDEN_ITEMS = Query(
    "hidden_items",
    select(Item.item_id, Item.expires_at, or_(Item.hidden, Item.deleted_at.is_not(None))).where(
        or_(Item.hidden, Item.deleted_at.is_not(None), Item.expires_at.is_not(None))
    ),
)


class HiddenItemsReader:
    """Reads the hidden items and keeps them until they change.

    Each call reads the change counters. The set itself is read again only when its counter moved, so an item hidden by
    any process is missing from the next list of every process.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._counter: int | None = None
        self._permanent: frozenset[str] = frozenset()
        self._expiring: tuple[tuple[int, str], ...] = ()
        self._next_expiry = 0.0
        self.last = HiddenItems()
        """The result of the last call, for use while the database is unavailable."""

    def hidden(self) -> HiddenItems:
        """The items that are hidden now. Raises `StoreError`."""
        return self.at(*change_counters.read_catalogue(self._reader))

    def at(self, counter: int, catalogue: int) -> HiddenItems:
        """The items that are hidden at these values of the change counters, as just read. Raises `StoreError`."""
        if counter == self._counter and time.time() * 1000 < self._next_expiry:
            if catalogue != self.last.catalogue:
                self.last = replace(self.last, catalogue=catalogue)
            return self.last
        with self._lock:
            if counter != self._counter:
                self._read()
            self.last = self._at(counter, catalogue, now_ms())
            self._counter = counter
        return self.last

    def _read(self) -> None:
        rows = self._reader.rows(_HIDDEN_ITEMS)
        self._permanent = frozenset(item_id for item_id, _, permanent in rows if permanent)
        self._expiring = tuple(sorted((int(at), item_id) for item_id, at, permanent in rows if not permanent))

    def _at(self, counter: int, catalogue: int, moment: int) -> HiddenItems:
        """The set at `moment` (milliseconds since 1970); its version differs for each counter and number expired."""
        expired = bisect_right(self._expiring, moment, key=lambda entry: entry[0])
        self._next_expiry = self._expiring[expired][0] if expired < len(self._expiring) else float("inf")
        item_ids = self._permanent.union(item_id for _, item_id in self._expiring[:expired])
        return HiddenItems(item_ids, counter * 1_000_003 + expired, catalogue)
