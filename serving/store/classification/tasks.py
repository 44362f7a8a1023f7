"""What is read and written of predicted categories: the queue for a person, and predictions for stored items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, exists, select, true, update

from serving.store.classification import predictions
from serving.store.classification.predictions import Prediction
from serving.store.db import change_counters
from serving.store.db.bulk import Lookup, among
from serving.store.db.reader import Query, Reader, from_json
from serving.store.db.tables import Item, ItemCategory, ItemClassification
from serving.store.db.writer import Task
from serving.store.repositories.events import now_ms
from serving.store.repositories.items import put_categories

_QUEUE = Query(
    "label_queue",
    select(
        ItemClassification.item_id,
        Item.title,
        Item.text,
        ItemClassification.categories,
        ItemClassification.confidence,
        ItemClassification.model_version,
    )
    .join(Item, Item.item_id == ItemClassification.item_id)
    .where(ItemClassification.needs_label == true())
    .order_by(ItemClassification.confidence, ItemClassification.item_id)
    .limit(bindparam("most")),
)
_OF_ITEM = Query(
    "item_classification",
    select(
        ItemClassification.categories,
        ItemClassification.confidence,
        ItemClassification.model_version,
        ItemClassification.needs_label,
    ).where(ItemClassification.item_id == bindparam("item_id")),
)
_TO_CLASSIFY = Query(
    "items_to_classify",
    select(Item.item_id, Item.title, Item.text)
    .outerjoin(ItemClassification, ItemClassification.item_id == Item.item_id)
    .where(Item.deleted_at.is_(None), Item.item_id > bindparam("after"))
    .where((Item.title != "") | (Item.text != ""))
    .where(
        (ItemClassification.model_version != bindparam("version"))
        | (ItemClassification.item_id.is_(None) & ~exists().where(ItemCategory.item_id == Item.item_id))
    )
    .order_by(Item.item_id)
    .limit(bindparam("most")),
)


@dataclass(frozen=True, slots=True)
class Uncertain:
    """An item that waits for a person's label, with what was predicted."""

    title: str
    text: str
    prediction: Prediction


def queue(reader: Reader, most: int) -> list[Uncertain]:
    """The least sure items. Raises `StoreError`."""
    return [
        Uncertain(title, text, Prediction(item_id, from_json(categories), confidence, version, True))
        for item_id, title, text, categories, confidence, version in reader.rows(_QUEUE, {"most": most})
    ]


def prediction_for(reader: Reader, item_id: str) -> Prediction | None:
    """What was predicted of an item; None where a person gave its categories, or it has none. Raises `StoreError`."""
    row = reader.row(_OF_ITEM, {"item_id": item_id})
    if row is None:
        return None
    categories, confidence, version, needs_label = row
    return Prediction(item_id, from_json(categories), confidence, version, bool(needs_label))


def to_classify(reader: Reader, version: str, most: int) -> Iterator[list[tuple[str, str, str]]]:
    """Items (id, title, text) without categories, or whose categories another version predicted; so many at once.
    Raises `StoreError`."""
    after = ""
    while rows := reader.rows(_TO_CLASSIFY, {"after": after, "version": version, "most": most}):
        yield [(item_id, title, text) for item_id, title, text in rows]
        after = rows[-1][0]


class PutPredictions(Task[int]):
    """Give stored items their predicted categories, but those to which a person gave some meanwhile, or that were
    deleted. Returns how many got theirs."""

    name = "put_predictions"

    def __init__(self, found: Sequence[Prediction]) -> None:
        self.found: Mapping[str, Prediction] = {one.item_id: one for one in found}
        self.size = 2 * len(self.found)

    def run(self, connection: Connection) -> int:
        present = {item_id for (item_id,) in _PRESENT(connection, list(self.found))}
        open_ids = present - predictions.labelled_by_a_person(connection, present)
        if not open_ids:
            return 0
        now = now_ms()
        change_counters.bump(connection, change_counters.ITEMS, now)
        change_counters.bump(connection, change_counters.HIDDEN, now)
        posted = change_counters.bumped(connection, change_counters.POSTED, now)
        predictions.remove(connection, open_ids)
        connection.execute(delete(ItemCategory).where(among(connection, ItemCategory.item_id, open_ids)))
        chosen = [self.found[item_id] for item_id in sorted(open_ids)]
        put_categories(connection, {one.item_id: tuple(one.categories) for one in chosen})
        predictions.put(connection, chosen, now)
        values = {"updated_at": now, "posted_version": posted}
        connection.execute(update(Item).where(among(connection, Item.item_id, open_ids)).values(**values))
        return len(open_ids)


_PRESENT = Lookup(
    lambda given: select(Item.item_id).where(Item.item_id.in_(select(given.c.value)), Item.deleted_at.is_(None))
)
