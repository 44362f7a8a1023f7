"""What texts, tags and categories say of items, as dense rows that stand beside the users'."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.catalogue import Catalogue
from recstage.models.content.content_features import Description
from recstage.models.linear.item_vectors import main_directions

WORDS = 20_000
CATEGORY_SHARE = 0.4
ITEMS_PER_DIRECTION, FEWEST = 16, 64
"""Directions are at most one for so many items, or these few: the further ones of a small catalogue are noise."""


def feature_rows(catalogue: Catalogue, factors: int, seed: int) -> NDArray[np.float32]:
    """The main directions of the items' TF-IDF words and categories, the greatest first: float32[d, n_items], d at
    most `factors`, fewer in a small catalogue, and 0 where nothing is known of any item. Their products are cosines of
    two items' descriptions, as far as so many directions tell."""
    n_items = len(catalogue.items)
    if not any(catalogue.documents):
        return np.empty((0, n_items), np.float32)
    described = Description.learn(catalogue, category_share=CATEGORY_SHARE, max_words=WORDS).of(catalogue)
    factors = min(factors, max(FEWEST, n_items // ITEMS_PER_DIRECTION))
    vectors, values = main_directions(sparse.csr_matrix(described.T), factors, seed, power_iterations=2)
    return np.ascontiguousarray((vectors * values).T)
