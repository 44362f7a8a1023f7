"""First vectors of items, by which items stand near each other in histories."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import Interactions
from recstage.models.linear.item_vectors import main_directions

REACH = 5
SMOOTHING = 0.75
SPREAD = 0.05
"""Standard deviation of the numbers."""


def neighbor_vectors(liked: Interactions, factors: int, seed: int) -> NDArray[np.float32]:
    """Truncated singular vectors of the positive pointwise mutual information of items up to `REACH` places apart, a
    pair k places apart counted 1 / k times: float32[n_items, factors], zeros for items without a neighbor.

    As Levy and Goldberg 2014 (https://papers.nips.cc/paper/5477) factorise what word2vec learns; frequencies of one
    side to the power of 3/4.
    """
    items, users, n = liked.item_index, liked.user_index, liked.n_items
    counts = sparse.csr_matrix((n, n))
    for apart in range(1, REACH + 1):
        same = users[apart:] == users[:-apart]
        shares = np.full(int(same.sum()), 1 / apart)
        counts = counts + sparse.csr_matrix((shares, (items[:-apart][same], items[apart:][same])), shape=(n, n))
    pairs = (counts + counts.T).tocoo()
    often = np.asarray(pairs.sum(axis=1)).ravel()
    context = often**SMOOTHING
    information = np.log(pairs.data * context.sum() / (often[pairs.row] * context[pairs.col]))
    kept = information > 0
    positive = sparse.csr_matrix((information[kept], (pairs.row[kept], pairs.col[kept])), shape=(n, n))
    directions, values = main_directions(positive.T.tocsr(), factors, seed)
    vectors = np.zeros((n, factors), np.float32)
    vectors[:, : len(values)] = directions * np.sqrt(values)
    return vectors * np.float32(SPREAD / max(float(vectors.std()), 1e-12))
