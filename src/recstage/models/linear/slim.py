"""SLIM: sparse linear weights, each item's found on its own from the items nearest to it.

Ning and Karypis, "SLIM: Sparse Linear Methods for Top-N Recommender Systems" (ICDM 2011), in the variant that looks for
weights among an item's nearest neighbours only (their fsSLIM): no item-item matrix is ever held, so that a catalogue
may be large.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recstage.data.interactions import Interactions
from recstage.models import base
from recstage.models.linear import elastic_net
from recstage.models.linear.item_to_item import ItemToItem
from recstage.models.linear.item_vectors import main_directions
from recstage.models.linear.memory import FLOAT, SPARSE, require_memory
from recstage.models.neighborhood.neighbors import ROWS_AT_ONCE, Rows, popularity_discount, table

VECTOR_SIZE = 64
"""Dimensions of `item_vectors`."""


class SlimParams(base.ModelParams):
    """Hyperparameters of `Slim`."""

    l1: float = Field(1.0, ge=0, description="weight of the absolute size of the weights: the greater, the fewer")
    l2: float = Field(20.0, gt=0, description="weight of their squared size")
    neighbors: int = Field(200, ge=1, description="items, the nearest by cosine, that may have a weight for an item")
    positive: bool = Field(True, description="no weight below zero, as in the paper")
    max_sweeps: int = Field(100, ge=1, description="most passes over an item's weights")
    tolerance: float = Field(
        1e-3, gt=0, description="share of an item's squared length that the last pass may leave unexplained"
    )
    popularity_discount: float = Field(0.0, ge=0, le=1, description="exponent of an item's popularity, divided by")
    recency_decay: float = Field(0.0, ge=0, description="the n-th last choice of a history counts 1 / n**recency_decay")
    memory_gb: float = Field(8.0, gt=0, description="a fit that needs more memory is refused")


class Slim(ItemToItem):
    """Scores an item by the few weights that tell best who chose it."""

    name = "slim"
    Params = SlimParams
    quick_fit = True

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        params, rows = self.params, train.matrix
        neighbors = min(params.neighbors, max(1, train.n_items - 1))
        require_memory(
            self.name,
            bytes_needed(train.n_items, neighbors),
            params.memory_gb,
            n_items=train.n_items,
            for_what=f"{neighbors} neighbours",
            fix="Lower neighbors, or raise memory_gb",
        )
        candidates, _ = Rows(sparse.csr_matrix(rows.T)).nearest(neighbors, fitting.backend)
        penalty = elastic_net.Penalty(params.l1, params.l2, params.positive, params.max_sweeps, params.tolerance)
        found = elastic_net.weights(elastic_net.Targets(rows, candidates, penalty), fitting.backend)
        self.vectors_ = _vectors(candidates, found, fitting.seed)
        discount = popularity_discount(train.item_counts, params.popularity_discount)
        weights = table(candidates, found * discount[:, None], train.n_items).T.tocsr()
        weights.eliminate_zeros()
        self.weights_ = weights


def bytes_needed(n_items: int, neighbors: int) -> int:
    """Greatest memory of a fit: the neighbours and their weights, as they are found and as they are kept, and what is
    worked on."""
    return (
        n_items * neighbors * 6 * SPARSE + n_items * ROWS_AT_ONCE * FLOAT + elastic_net.bytes_needed(n_items, neighbors)
    )


def _vectors(candidates: NDArray[np.int32], weights: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Items by the main directions of their weights and themselves: float32[n_items, d]."""
    n_items = len(candidates)
    incoming = table(candidates, weights, n_items)
    vectors, values = main_directions(sparse.csr_matrix(incoming + incoming.T), VECTOR_SIZE, seed)
    return vectors * values
