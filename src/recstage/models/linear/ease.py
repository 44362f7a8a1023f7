"""EASE: a linear autoencoder over items, solved in closed form.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (WWW 2019): the weights B that best rebuild every history
from its other items, |X - XB|^2 + l2 |B|^2 with a diagonal of zeros. Moon, Kim and Lee, "It's Enough: Relaxing Diagonal
Constraints in Linear Autoencoders for Recommendation" (SIGIR 2023): a diagonal of at most `diagonal` (RLAE), and
`dropout` of the input (DLAE, from Steck, "Autoencoders that don't overfit towards the Identity", NeurIPS 2020); both
together are their RDLAE. Texts and categories of items come in as in Jeunen, Van Balen and Goethals, "Closed-Form
Models for Collaborative Filtering with Side-Information" (RecSys 2020): as further rows of X.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recstage.data.interactions import Interactions
from recstage.models import base
from recstage.models.linear.item_to_item import Collector, ItemToItem
from recstage.models.linear.item_vectors import main_directions
from recstage.models.linear.memory import require_memory
from recstage.models.linear.ridge import Rows, inverse_columns
from recstage.models.linear.side_information import feature_rows

VECTOR_SIZE = 64
"""Dimensions of `item_vectors`."""

logger = logging.getLogger(__name__)


class EaseParams(base.ModelParams):
    """Hyperparameters of `Ease`."""

    l2: float = Field(200.0, gt=0, description="weight of the squared size of the item-to-item weights")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of a history that is left out of the input (denoising)")
    diagonal: float = Field(0.0, ge=0, lt=1, description="greatest weight of an item on itself (relaxed diagonal)")
    user_discount: float = Field(0.0, ge=0, le=1, description="rows are divided by their total to this power")
    popularity_discount: float = Field(0.0, ge=0, le=1, description="exponent of an item's popularity, divided by")
    recency_decay: float = Field(0.0, ge=0, description="the n-th last choice of a history counts 1 / n**recency_decay")
    side_weight: float = Field(0.0, ge=0, description="how much texts and categories of items count beside users")
    side_factors: int = Field(1024, ge=1, description="main directions of the texts and categories that are kept")
    weights_per_item: int = Field(0, ge=0, description="greatest weights kept of each item; 0: all")
    memory_gb: float = Field(8.0, gt=0, description="a fit that needs more memory is refused")


class Ease(ItemToItem):
    """Scores an item by the weights that rebuild histories best."""

    name = "ease"
    Params = EaseParams
    quick_fit = True

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        params = self.params
        rows = self._rows(train, fitting)
        require_memory(
            self.name,
            rows.bytes_needed + Collector.bytes_needed(train.n_items, params.weights_per_item),
            params.memory_gb,
            n_items=train.n_items,
            for_what="the item-to-item weights",
            fix="Choose slim or spectral, set weights_per_item, or raise memory_gb",
        )
        penalty = np.float32(params.l2) + np.float32(params.dropout / (1 - params.dropout)) * rows.squares
        discount = np.maximum(train.item_counts, 1).astype(np.float64) ** -params.popularity_discount
        collected = Collector(train.n_items, params.weights_per_item)
        for columns, inverse in inverse_columns(rows, penalty, fitting.backend):
            weights = _weights(inverse, columns, penalty[columns], params.diagonal)
            collected.add(columns, weights * discount[columns].astype(np.float32))
        self.weights_ = collected.weights()
        self.vectors_ = _vectors(rows, params.l2, fitting.seed)

    def _rows(self, train: Interactions, fitting: base.Fitting) -> Rows:
        params = self.params
        users = train.matrix
        if params.user_discount:
            total = np.maximum(np.asarray(users.sum(axis=1), np.float64).ravel(), 1e-12)
            users = sparse.csr_matrix(sparse.diags_array((total**-params.user_discount).astype(np.float32)) @ users)
        features = np.empty((0, train.n_items), np.float32)
        if params.side_weight > 0:
            features = feature_rows(fitting.catalogue, params.side_factors, fitting.seed)
            features *= np.float32(np.sqrt(params.side_weight))
            if not len(features):
                logger.info("ease: side_weight has no effect, the catalogue has neither texts nor categories")
        return Rows(users, features)


def _weights(
    inverse: NDArray[np.float32], columns: slice, penalty: NDArray[np.float32], diagonal: float
) -> NDArray[np.float32]:
    """Columns of B from those of the inverse: B = I - P (diag(kappa) + diag(penalty)) with kappa such that B_jj is the
    unconstrained 1 - P_jj penalty_j where that is below `diagonal`, else `diagonal` (Moon et al., theorem 3.1)."""
    own = np.arange(columns.start, columns.stop), np.arange(columns.stop - columns.start)
    precision = inverse[own]
    itself = np.minimum(np.float32(diagonal), 1 - precision * penalty)
    weights = inverse * (-(1 - itself) / precision)
    weights[own] = itself
    return weights


def _vectors(rows: Rows, l2: float, seed: int) -> NDArray[np.float32]:
    """Items by the part of R'R (R'R + l2)^-1, the smoothing that the weights are made of, that few directions tell:
    float32[n_items, d]."""
    some = sparse.vstack([rows.users, sparse.csr_matrix(rows.features[:VECTOR_SIZE])], format="csr")
    vectors, values = main_directions(some, VECTOR_SIZE, seed)
    return vectors * (values / np.sqrt(values**2 + np.float32(l2)))
