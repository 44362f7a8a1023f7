"""The service's own catalogue of items. Which of them must not be served now: `hidden_items`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, delete, select, update

from serving.interfaces import Item as KnownItem
from serving.rules.columns import Value
from serving.store.classification import predictions
from serving.store.classification.predictions import Prediction
from serving.store.db import change_counters
from serving.store.db.bulk import BulkInsert, Lookup, among
from serving.store.db.reader import Query, Reader, from_json
from serving.store.db.tables import Item, ItemCategory, UserRecommendation
from serving.store.db.writer import Task
from serving.store.repositories.events import add_items, now_ms

_ITEM = Query(
    "item",
    select(Item.title, Item.text, Item.deleted_at, Item.hidden, Item.expires_at, Item.attributes).where(
        Item.item_id == bindparam("item_id")
    ),
)
_CATEGORIES = Query(
    "item_categories",
    select(ItemCategory.category).where(ItemCategory.item_id == bindparam("item_id")).order_by(ItemCategory.position),
)


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ItemState:
    """An item as the catalogue holds it now; `expires_at` in milliseconds since 1970."""

    item_id: str
    title: str
    text: str
    categories: tuple[str, ...]
    hidden: bool
    expires_at: int | None
    deleted: bool
    attributes: Mapping[str, Any] = field(default_factory=dict)


def item_state(reader: Reader, item_id: str) -> ItemState | None:
    """One item, None where neither the catalogue nor an event names it. Raises `StoreError`."""
    row = reader.row(_ITEM, {"item_id": item_id})
    if row is None:
        return None
    title, text, deleted_at, hidden, expires_at, attributes = row
    categories = tuple(name for (name,) in reader.rows(_CATEGORIES, {"item_id": item_id}))
    known = from_json(attributes) or {}
    return ItemState(item_id, title, text, categories, bool(hidden), expires_at, deleted_at is not None, known)


def known_item(reader: Reader, item_id: str) -> KnownItem | None:
    """One item in the form `serving.interfaces` gives it. Raises `StoreError`."""
    state = item_state(reader, item_id)
    return None if state is None else KnownItem(item_id, state.title, state.text, state.categories)


# -- writing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to store; `expires_at` in milliseconds since 1970.

    `categories` None: none were given; those that a person gave before stay, else those of `prediction` are stored.
    """

    item_id: str
    title: str = ""
    text: str = ""
    categories: tuple[str, ...] | None = ()
    hidden: bool = False
    expires_at: int | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)
    prediction: Prediction | None = None

    @property
    def predicted(self) -> tuple[str, ...]:
        """The categories of the prediction."""
        return () if self.prediction is None else tuple(self.prediction.categories)


class IngestItems(Task[tuple[int, int]]):
    """Store items, replacing those that exist; a deleted item is restored.

    Returns how many were new and how many were replaced (an item that only events had named counts as replaced).
    """

    name = "ingest_items"

    def __init__(self, items: Sequence[NewItem]) -> None:
        self.items = {item.item_id: item for item in items}
        self.size = 2 * len(self.items)

    def run(self, connection: Connection) -> tuple[int, int]:
        now = now_ms()
        before = _visibility(connection, self.items)
        described = [
            item.item_id for item in self.items.values() if item.attributes or item.categories or item.predicted
        ]
        posted = _publish_posted(connection, described or _described(connection, self.items), now)
        _PUT_ITEMS(
            connection,
            [
                (
                    *(item.item_id, item.title, item.text, item.hidden, item.expires_at, None, now, now),
                    orjson.dumps(item.attributes).decode() if item.attributes else None,
                    posted,
                )
                for item in self.items.values()
            ],
        )
        self._put_categories(connection, before, now)
        after: dict[str, Visibility] = {
            item.item_id: (item.hidden, item.expires_at, None) for item in self.items.values()
        }
        _publish_changes(connection, before, after, now)
        return len(after) - len(before), len(before)

    def _put_categories(self, connection: Connection, before: Mapping[str, Visibility], now: int) -> None:
        """Those that were given, else those that a person gave before, else the predicted ones."""
        left_out = [item_id for item_id, item in self.items.items() if item.categories is None and item_id in before]
        kept = predictions.labelled_by_a_person(connection, left_out) if left_out else set()
        put = {item_id: item for item_id, item in self.items.items() if item_id not in kept}
        stored = [item_id for item_id in put if item_id in before]
        connection.execute(delete(ItemCategory).where(among(connection, ItemCategory.item_id, stored)))
        predictions.remove(connection, stored)
        given = {
            item_id: item.predicted if item.categories is None else item.categories for item_id, item in put.items()
        }
        put_categories(connection, given)
        found = [item.prediction for item in put.values() if item.categories is None and item.prediction is not None]
        predictions.put(connection, found, now)


class ChangeItem(Task[bool]):
    """Change some of an item's columns, or its `categories`. Returns whether the item exists.

    `known`: the served version knows the item, so that it is added where the database does not have it yet.
    """

    name = "change_item"

    def __init__(self, item_id: str, changes: dict[str, Any], *, known: bool = False) -> None:
        self.item_id, self.changes, self.known = item_id, changes, known

    def run(self, connection: Connection) -> bool:
        now = now_ms()
        if self.known:
            add_items(connection, [self.item_id], now)
        before = _visibility(connection, [self.item_id])
        if not before or before[self.item_id][2] is not None:
            return False
        columns = {name: value for name, value in self.changes.items() if name != "categories"}
        if not {"attributes", "categories"}.isdisjoint(self.changes):
            columns["posted_version"] = _publish_posted(connection, [self.item_id], now)
        connection.execute(update(Item).where(Item.item_id == self.item_id).values(**columns, updated_at=now))
        if "categories" in self.changes:
            connection.execute(delete(ItemCategory).where(ItemCategory.item_id == self.item_id))
            predictions.remove(connection, [self.item_id])
            put_categories(connection, {self.item_id: self.changes["categories"]})
        _publish_changes(connection, before, _visibility(connection, [self.item_id]), now)
        return True


class DeleteItem(Task[bool]):
    """Delete an item: it is not served any more, and its texts and categories are removed.

    Its events stay, because they belong to users. Returns whether the item existed; `known` as for `ChangeItem`.
    """

    name = "delete_item"

    def __init__(self, item_id: str, *, known: bool = False) -> None:
        self.item_id, self.known = item_id, known

    def run(self, connection: Connection) -> bool:
        now = now_ms()
        if self.known:
            add_items(connection, [self.item_id], now)
        before = _visibility(connection, [self.item_id])
        if not before or before[self.item_id][2] is not None:
            return False
        values = {"deleted_at": now, "title": "", "text": "", "updated_at": now, "attributes": None}
        if _described(connection, [self.item_id]):
            values["posted_version"] = _publish_posted(connection, [self.item_id], now)
        connection.execute(update(Item).where(Item.item_id == self.item_id).values(values))
        connection.execute(delete(ItemCategory).where(ItemCategory.item_id == self.item_id))
        predictions.remove(connection, [self.item_id])
        _publish_changes(connection, before, {self.item_id: (True, None, now)}, now)
        return True


Visibility = tuple[bool, int | None, int | None]
"""hidden, expires_at, deleted_at: all that decides whether an item may be served."""


def _visibility(connection: Connection, item_ids: Any) -> dict[str, Visibility]:
    rows = _VISIBILITY(connection, list(item_ids))
    return {item_id: (bool(hidden), expires_at, deleted_at) for item_id, hidden, expires_at, deleted_at in rows}


def _publish_changes(
    connection: Connection, before: dict[str, Visibility], after: dict[str, Visibility], now: int
) -> None:
    """Move the change counters, and remove what became hidden from the precomputed lists."""
    change_counters.bump(connection, change_counters.ITEMS, now)
    visible: Visibility = (False, None, None)
    if any(before.get(item_id, visible) != state for item_id, state in after.items()):
        change_counters.bump(connection, change_counters.HIDDEN, now)
    unavailable = [item_id for item_id, (hidden, _, deleted) in after.items() if hidden or deleted is not None]
    if unavailable:
        connection.execute(delete(UserRecommendation).where(among(connection, UserRecommendation.item_id, unavailable)))


def _described(connection: Connection, item_ids: Collection[str]) -> list[str]:
    """Those of the items whose attributes or categories were posted before."""
    return [item_id for (item_id,) in _WITH_ATTRIBUTES(connection, list(item_ids))]


def _publish_posted(connection: Connection, described: Sequence[str], now: int) -> int | None:
    """Move the counter of posted items where there are some; its value. Filters and rules look at them."""
    if not described:
        return None
    change_counters.bump(connection, change_counters.HIDDEN, now)
    return change_counters.bumped(connection, change_counters.POSTED, now)


def put_categories(connection: Connection, categories: Mapping[str, Sequence[str]]) -> None:
    """Store the categories of items that have none now."""
    rows = [(item_id, name, i) for item_id, names in categories.items() for i, name in enumerate(dict.fromkeys(names))]
    _PUT_CATEGORIES(connection, rows)


def _replace(statement: Any) -> Any:
    columns = ("title", "text", "hidden", "expires_at", "deleted_at", "updated_at", "attributes", "posted_version")
    return statement.on_conflict_do_update(
        index_elements=["item_id"], set_={name: statement.excluded[name] for name in columns}
    )


_VISIBILITY = Lookup(
    lambda given: select(Item.item_id, Item.hidden, Item.expires_at, Item.deleted_at).where(
        Item.item_id.in_(select(given.c.value))
    )
)
_WITH_ATTRIBUTES = Lookup(
    lambda given: select(Item.item_id).where(Item.item_id.in_(select(given.c.value)), Item.posted_version.is_not(None))
)
_PUT_ITEMS = BulkInsert(
    Item,
    (
        *("item_id", "title", "text", "hidden", "expires_at", "deleted_at", "created_at", "updated_at"),
        *("attributes", "posted_version"),
    ),
    _replace,
)
_PUT_CATEGORIES = BulkInsert(ItemCategory, ("item_id", "category", "position"))
