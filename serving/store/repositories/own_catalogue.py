"""The service's own catalogue as a whole, kept in memory and brought up to date by what changed."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import groupby
from operator import itemgetter

from sqlalchemy import bindparam, select

from serving.interfaces import OwnCatalogue, OwnItem
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import Item, ItemCategory

CLOCK_SKEW_MS = 60_000
"""Clocks of the machines that write may differ by so much, and a transaction may take so long."""

_CHANGED_ITEMS = Query(
    "changed_items",
    select(Item.item_id, Item.title, Item.text != "", Item.created_at, Item.updated_at).where(
        Item.updated_at >= bindparam("since")
    ),
)
_CHANGED_CATEGORIES = Query(
    "changed_categories",
    select(ItemCategory.item_id, ItemCategory.position, ItemCategory.category)
    .join(Item, Item.item_id == ItemCategory.item_id)
    .where(Item.updated_at >= bindparam("since")),
)


class OwnCatalogueReader:
    """Keeps the items that were described through the catalogue, not those that events alone name.

    A call with a counter that moved reads the items that changed since the last one, by an index.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._newest = 0
        self.last = OwnCatalogue()
        """The result of the last call, for use while the database is unavailable."""

    def at(self, counter: int) -> OwnCatalogue:
        """The catalogue, at least as new as this value of the change counter. Raises `StoreError`."""
        if counter == self.last.version:
            return self.last
        with self._lock:
            if counter != self.last.version:
                self._update(counter)
            return self.last

    def _update(self, counter: int) -> None:
        restored = counter < self.last.version  # an older database took the place of this one
        if restored:
            self._newest = 0
        since = {"since": max(0, self._newest - CLOCK_SKEW_MS)}
        rows = self._reader.rows(_CHANGED_ITEMS, since)
        in_order = sorted(self._reader.rows(_CHANGED_CATEGORIES, since))
        categories = {
            item_id: tuple(name for _, _, name in some) for item_id, some in groupby(in_order, key=itemgetter(0))
        }
        items: dict[str, OwnItem] = {} if restored else dict(self.last.items)
        changed = False
        for item_id, title, has_text, created_at, updated_at in rows:
            self._newest = max(self._newest, updated_at)
            names = categories.get(item_id, ())
            described = OwnItem(title, names, created_at, updated_at) if title or names or has_text else None
            changed |= _put(items, item_id, described)
        if changed or restored:
            self.last = OwnCatalogue(items, counter, counter)
        else:
            self.last = replace(self.last, version=counter)


def _put(items: dict[str, OwnItem], item_id: str, found: OwnItem | None) -> bool:
    """Set or remove an item; returns whether that changed anything."""
    before = items.pop(item_id, None)
    if found is not None:
        items[item_id] = found
    return before != found
