"""Items similar to one item, or to the items of a basket, by the vectors of the served version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recstage.models.ranking import mask_excluded, top_k
from serving.interfaces import HiddenItems
from serving.models.exclusion import as_row, excluded_mask
from serving.models.loaded_model import LoadedModel
from serving.recommend.ranking import diversity_of
from serving.recommend.request import RankedItems


@dataclass(frozen=True)
class SimilarItemsRequest:
    """The parameters of a list of similar items. `item_ids`: the item, or all items of a basket."""

    item_ids: tuple[str, ...]
    limit: int = 10
    exclude: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


def unknown_items(served: LoadedModel, item_ids: Sequence[str]) -> list[str]:
    """The items that the version was not trained on."""
    return [item_id for item_id in item_ids if served.train.items.find(item_id) < 0]


def similar_items(served: LoadedModel, request: SimilarItemsRequest, hidden: HiddenItems) -> RankedItems:
    """The items whose cosine with the given ones is highest, on average over a basket; never the given ones.

    `method` names what the vectors are made of: the model's item vectors, categories, or who chose the items. Items
    that have nothing in common with the basket (a cosine of 0 or less) are not listed. All given items must be known.
    """
    vectors = served.similar_item_vectors.vectors
    basket = np.array([served.train.items.find(item_id) for item_id in request.item_ids], np.int32)
    excluded = served.excluded(hidden) | excluded_mask(request.exclude, served.train.items)
    excluded[basket] = True
    if request.categories:
        excluded |= ~served.in_categories(request.categories)
    cosines = vectors @ vectors[basket].mean(axis=0)
    excluded |= cosines <= 0
    found, scores = top_k(mask_excluded(cosines[None].astype(np.float32), as_row(excluded)), request.limit)
    kept = found[0] >= 0
    items = found[0][kept]
    return RankedItems(served, items, scores[0][kept], served.similar_item_vectors.source, diversity_of(vectors, items))
