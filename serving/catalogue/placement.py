"""Where an item belongs that the served version was not trained with: next to the trained items most like it.

By the text and categories where the version has a content model, else by categories alone. A placed item is scored as
its neighbours are, weighted by their similarity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recstage import rerank
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap
from recstage.models.ranking import top_k
from serving.interfaces import Item
from serving.models.loaded_model import LoadedModel

NEIGHBOURS = 10


@dataclass(frozen=True, eq=False)
class PlacedItem:
    """An item next to trained ones: `neighbours` int32[k], their `weights` float32[k], which add up to 1."""

    item_id: str
    neighbours: NDArray[np.int32]
    weights: NDArray[np.float32]

    def vector(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The item among the `vectors` of the trained items, float32[n, d]: float32[d], of length one."""
        return rerank.unit_rows((self.weights @ vectors[self.neighbours])[None])[0]


def place(served: LoadedModel, items: Sequence[Item]) -> list[PlacedItem | None]:
    """The place of each item; None where nothing is known that trained items have in common with it."""
    if not items:
        return []
    similarity = _similarity(served, items)
    found, weights = top_k(similarity, NEIGHBOURS)
    placed: list[PlacedItem | None] = []
    for item, neighbours, values in zip(items, found, weights, strict=True):
        kept = (neighbours >= 0) & (values > 0)
        total = float(values[kept].sum())
        placed.append(PlacedItem(item.item_id, neighbours[kept], values[kept] / total) if total > 0 else None)
    return placed


def _similarity(served: LoadedModel, items: Sequence[Item]) -> NDArray[np.float32]:
    """The cosine of each of these items with each trained one: float32[m, n_items]."""
    frame = pd.DataFrame(
        {
            "item_id": [one.item_id for one in items],
            "title": [one.title for one in items],
            "text": [one.text for one in items],
            "categories": [list(one.categories) for one in items],
        }
    )
    content = served.content
    if content is not None:
        described = content.embed_items(Catalogue.from_frame(frame, IdMap(frame["item_id"].to_numpy(object))))
        return np.asarray((content.vectors_ @ described.T).toarray().T, np.float32)
    trained = served.catalogue.category_matrix
    column = {name: place for place, name in enumerate(served.catalogue.category_names)}
    own = np.zeros((len(items), trained.shape[1]), np.float32)
    for row, item in enumerate(items):
        own[row, [column[name] for name in item.categories if name in column]] = 1
    lengths = np.sqrt(np.asarray(trained.sum(axis=1)).ravel())
    cosines = (trained @ rerank.unit_rows(own).T).T / np.maximum(lengths, 1)
    return np.ascontiguousarray(cosines, np.float32)
