"""Rows of predicted categories: an item has one where its categories are predicted, none where a person gave them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, delete, exists, select

from serving.store.db.bulk import BulkInsert, Lookup, among
from serving.store.db.tables import ItemCategory, ItemClassification


@dataclass(frozen=True, slots=True)
class Prediction:
    """The categories of an item with their confidences; `confidence`: how sure they are as a whole."""

    item_id: str
    categories: Mapping[str, float]
    confidence: float
    model_version: str
    needs_label: bool


def labelled_by_a_person(connection: Connection, item_ids: Collection[str]) -> set[str]:
    """Those of the items that have categories which are not predicted."""
    return {item_id for (item_id,) in _BY_A_PERSON(connection, list(item_ids))}


def remove(connection: Connection, item_ids: Collection[str]) -> None:
    """Forget that the categories of items are predicted."""
    connection.execute(delete(ItemClassification).where(among(connection, ItemClassification.item_id, item_ids)))


def put(connection: Connection, predictions: Iterable[Prediction], now: int) -> None:
    """Note predictions; those of the same items must be removed before."""
    _PUT(
        connection,
        [
            (
                *(one.item_id, orjson.dumps(dict(one.categories)).decode(), one.confidence, one.model_version),
                *(one.needs_label, now),
            )
            for one in predictions
        ],
    )


_BY_A_PERSON = Lookup(
    lambda given: (
        select(ItemCategory.item_id)
        .where(ItemCategory.item_id.in_(select(given.c.value)))
        .where(~exists().where(ItemClassification.item_id == ItemCategory.item_id))
        .distinct()
    )
)
_PUT = BulkInsert(
    ItemClassification,
    ("item_id", "categories", "confidence", "model_version", "needs_label", "classified_at"),
)
