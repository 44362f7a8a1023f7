"""Maximal marginal relevance: a list that is good and not all of a kind, from any model's candidates.

`vectors_of` says by which vectors two items are alike; the diversity that the evaluation reports is measured by the
same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions
from recstage.models.base import Recommender

CATEGORIES, ITEM_VECTORS, CO_OCCURRENCE = "categories", "item vectors", "co-occurrence"
SKETCH = 256  # dimensions that stand for the people who know an item


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """`vectors` float32[n_items, d], rows of length one, or all zero where nothing is known of the item; the cosine
    of two says how alike they are. `source` says what they come from: categories, item vectors, or co-occurrence."""

    source: str
    vectors: NDArray[np.float32]


def vectors_of(model: Recommender, catalogue: Catalogue | None = None) -> ItemVectors:
    """The vectors by which items are alike: the categories of the catalogue (the model's own by default) where it has
    any, else the model's item vectors, else who interacted with what in training.

    The last are sketches: a random +-1 vector of 256 dimensions a user, summed over the users of an item, whose
    cosine is that of the item's column in the binary user-item matrix up to about 1/16 (Achlioptas 2003).
    """
    catalogue = model.catalogue_ if catalogue is None else catalogue
    if catalogue.category_names:
        return ItemVectors(CATEGORIES, unit_rows(catalogue.category_matrix.toarray()))
    learnt = model.item_vectors()
    if learnt is not None:
        return ItemVectors(ITEM_VECTORS, unit_rows(learnt))
    return ItemVectors(CO_OCCURRENCE, unit_rows(_sketches(model.train_)))


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row divided by its length; rows of zeros stay."""
    vectors = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def _sketches(train: Interactions) -> NDArray[np.float32]:
    signs = np.random.default_rng(0).integers(0, 2, size=(train.n_users, SKETCH), dtype=np.int8) * 2 - 1
    liked = train.matrix.astype(bool).astype(np.float32)
    return liked.T @ signs.astype(np.float32)
