"""The service's own catalogue: what it knows of items, and which of them must not be served now."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, or_, select, update

from serving.interfaces import HiddenItems
from serving.interfaces import Item as KnownItem
from serving.store.db import change_counters
from serving.store.db.bulk import BulkInsert, Lookup, among
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import Item, ItemCategory, UserRecommendation
from serving.store.db.writer import Task
from serving.store.repositories.events import now_ms

_WITHHELD = Query(
    "withheld_items",
    select(Item.item_id, Item.expires_at, or_(Item.hidden, Item.deleted_at.is_not(None))).where(
        or_(Item.hidden, Item.deleted_at.is_not(None), Item.expires_at.is_not(None))
    ),
)
_ITEM = Query(
    "item",
    select(Item.title, Item.text, Item.deleted_at, Item.hidden, Item.expires_at).where(
        Item.item_id == bindparam("item_id")
    ),
)
_CATEGORIES = Query(
    "item_categories",
    select(ItemCategory.category).where(ItemCategory.item_id == bindparam("item_id")).order_by(ItemCategory.position),
)


# -- reading ----------------------------------------------------------------------------------------------------------


class HiddenItemsReader:
    """The items that must not be served. Each call asks the database whether anything changed (one number); the set is
    read again only then, so that an item hidden by any process is missing from the next list of every process."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._state: int | None = None
        self._always: frozenset[str] = frozenset()
        self._expiring: tuple[tuple[int, str], ...] = ()
        self._next_expiry = 0.0
        self.last = HiddenItems()
        """The last answer, for while the database is away."""

    def hidden(self) -> HiddenItems:
        """What is withheld now. Raises `StoreError`."""
        state = change_counters.read(self._reader, change_counters.HIDDEN)
        if state == self._state and time.time() * 1000 < self._next_expiry:
            return self.last
        with self._lock:
            if state != self._state:
                self._read()
            self.last = self._at(state, now_ms())
            self._state = state
        return self.last

    def _read(self) -> None:
        rows = self._reader.rows(_WITHHELD)
        self._always = frozenset(item_id for item_id, _, always in rows if always)
        self._expiring = tuple(sorted((int(at), item_id) for item_id, at, always in rows if not always))

    def _at(self, state: int, moment: int) -> HiddenItems:
        expired = bisect_right(self._expiring, moment, key=lambda entry: entry[0])
        self._next_expiry = self._expiring[expired][0] if expired < len(self._expiring) else float("inf")
        ids = self._always.union(item_id for _, item_id in self._expiring[:expired])
        return HiddenItems(ids, state * 1_000_003 + expired)


@dataclass(frozen=True, slots=True)
class ItemState:
    """An item as its owner left it."""

    item_id: str
    title: str
    text: str
    categories: tuple[str, ...]
    hidden: bool
    expires_at: int | None
    deleted: bool


def item_state(reader: Reader, item_id: str) -> ItemState | None:
    """One item, None where nobody ever named it. Raises `StoreError`."""
    row = reader.row(_ITEM, {"item_id": item_id})
    if row is None:
        return None
    title, text, deleted_at, hidden, expires_at = row
    categories = tuple(name for (name,) in reader.rows(_CATEGORIES, {"item_id": item_id}))
    return ItemState(item_id, title, text, categories, bool(hidden), expires_at, deleted_at is not None)


def known_item(reader: Reader, item_id: str) -> KnownItem | None:
    """One item for the answering side. Raises `StoreError`."""
    state = item_state(reader, item_id)
    return None if state is None else KnownItem(item_id, state.title, state.text, state.categories)


# -- writing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item as its owner describes it, whole; `expires_at` in milliseconds since 1970."""

    item_id: str
    title: str = ""
    text: str = ""
    categories: tuple[str, ...] = ()
    hidden: bool = False
    expires_at: int | None = None


class IngestItems(Task[tuple[int, int]]):
    """Store items, replacing what was known of them; a deleted one is back. The result: how many were new, how many
    replaced (an item that only events had named counts as replaced)."""

    name = "ingest_items"

    def __init__(self, items: Sequence[NewItem]) -> None:
        self.items = {item.item_id: item for item in items}
        self.size = 2 * len(self.items)

    def run(self, connection: Connection) -> tuple[int, int]:
        now = now_ms()
        before = _served(connection, self.items)
        _PUT_ITEMS(
            connection,
            [
                (item.item_id, item.title, item.text, item.hidden, item.expires_at, None, now, now)
                for item in self.items.values()
            ],
        )
        connection.execute(delete(ItemCategory).where(among(connection, ItemCategory.item_id, before)))
        _put_categories(connection, {item.item_id: item.categories for item in self.items.values()})
        after: dict[str, LoadedModel] = {
            item.item_id: (item.hidden, item.expires_at, None) for item in self.items.values()
        }
        _announce(connection, before, after, now)
        return len(after) - len(before), len(before)


class ChangeItem(Task[bool]):
    """Change some of an item's columns (`categories` too). The result: whether there is such an item."""

    name = "change_item"

    def __init__(self, item_id: str, changes: dict[str, Any]) -> None:
        self.item_id, self.changes = item_id, changes

    def run(self, connection: Connection) -> bool:
        now = now_ms()
        before = _served(connection, [self.item_id])
        if not before or before[self.item_id][2] is not None:
            return False
        columns = {name: value for name, value in self.changes.items() if name != "categories"}
        connection.execute(update(Item).where(Item.item_id == self.item_id).values(**columns, updated_at=now))
        if "categories" in self.changes:
            connection.execute(delete(ItemCategory).where(ItemCategory.item_id == self.item_id))
            _put_categories(connection, {self.item_id: self.changes["categories"]})
        _announce(connection, before, _served(connection, [self.item_id]), now)
        return True


class DeleteItem(Task[bool]):
    """Withdraw an item: it is never served again, and its text is forgotten; its events stay, for they are people's.
    The result: whether there was such an item."""

    name = "delete_item"

    def __init__(self, item_id: str) -> None:
        self.item_id = item_id

    def run(self, connection: Connection) -> bool:
        now = now_ms()
        before = _served(connection, [self.item_id])
        if not before or before[self.item_id][2] is not None:
            return False
        values = {"deleted_at": now, "title": "", "text": "", "updated_at": now}
        connection.execute(update(Item).where(Item.item_id == self.item_id).values(values))
        connection.execute(delete(ItemCategory).where(ItemCategory.item_id == self.item_id))
        _announce(connection, before, {self.item_id: (True, None, now)}, now)
        return True


LoadedModel = tuple[bool, int | None, int | None]
"""hidden, expires_at, deleted_at: whether an item may be served depends on no more."""


def _served(connection: Connection, item_ids: Any) -> dict[str, LoadedModel]:
    rows = _SERVED(connection, list(item_ids))
    return {item_id: (bool(hidden), expires_at, deleted_at) for item_id, hidden, expires_at, deleted_at in rows}


def _announce(connection: Connection, before: dict[str, LoadedModel], after: dict[str, LoadedModel], now: int) -> None:
    """Tell the other processes, and take what became hidden out of the precomputed lists."""
    change_counters.bump(connection, change_counters.ITEMS, now)
    visible: LoadedModel = (False, None, None)
    if any(before.get(item_id, visible) != state for item_id, state in after.items()):
        change_counters.bump(connection, change_counters.HIDDEN, now)
    gone = [item_id for item_id, (hidden, _, deleted) in after.items() if hidden or deleted is not None]
    if gone:
        connection.execute(delete(UserRecommendation).where(among(connection, UserRecommendation.item_id, gone)))


def _put_categories(connection: Connection, categories: dict[str, Sequence[str]]) -> None:
    rows = [(item_id, name, i) for item_id, names in categories.items() for i, name in enumerate(dict.fromkeys(names))]
    _PUT_CATEGORIES(connection, rows)


def _replace(statement: Any) -> Any:
    columns = ("title", "text", "hidden", "expires_at", "deleted_at", "updated_at")
    return statement.on_conflict_do_update(
        index_elements=["item_id"], set_={name: statement.excluded[name] for name in columns}
    )


_SERVED = Lookup(
    lambda given: select(Item.item_id, Item.hidden, Item.expires_at, Item.deleted_at).where(
        Item.item_id.in_(select(given.c.value))
    )
)
_PUT_ITEMS = BulkInsert(
    Item, ("item_id", "title", "text", "hidden", "expires_at", "deleted_at", "created_at", "updated_at"), _replace
)
_PUT_CATEGORIES = BulkInsert(ItemCategory, ("item_id", "category", "position"))
