"""RP3beta: walks of three steps over the graph of users and items.

Paudel, Christoffel, Newell and Bernstein, "Updatable, Accurate, Diverse, and Scalable Recommendations for Interactive
Applications" (ACM TiiS 2017). A walk goes from a user to one of their items, to a user who chose it, to an item of that
user; the probabilities of its steps are raised to `alpha`, and popular items are demoted by `popularity_discount`, the
paper's beta.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from scipy import sparse

from recstage.data.interactions import Interactions
from recstage.models import base
from recstage.models.neighborhood.neighbors import ItemNeighbors, Rows


class GraphParams(base.ModelParams):
    """Hyperparameters of `Graph`."""

    alpha: float = Field(1.0, gt=0, description="exponent of the probabilities of a step")
    popularity_discount: float = Field(
        0.3, ge=0, le=1, description="scores are divided by the item's popularity to this power: beta"
    )
    neighbors: int = Field(200, ge=1, description="strongest links kept of each item")
    recency_decay: float = Field(
        0.0, ge=0, description="a walk starts at the n-th last choice with weight 1 / n**recency_decay"
    )


class Graph(ItemNeighbors):
    """Scores an item by the walks that end there; an edge has the weight of its interaction."""

    name = "graph"
    Params = GraphParams
    quick_fit = True

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        alpha, edges = self.params.alpha, train.matrix
        # item -> user -> item is (w_uj / item_j)^alpha * (w_ui / user_u)^alpha: all factors but one are the same in
        # both directions, so the strongest links into item i are its nearest rows
        per_user = _degree(edges, 1) ** (-alpha / 2)
        per_item = _degree(edges, 0) ** -alpha
        walks = sparse.diags_array(per_item) @ edges.power(alpha).T @ sparse.diags_array(per_user)
        neighbors, strength = Rows(sparse.csr_matrix(walks), cosine=False).nearest(
            self.params.neighbors, fitting.backend
        )
        self._set(neighbors, (strength / per_item[:, None]).astype(np.float32))


def _degree(edges: sparse.csr_matrix, axis: int) -> np.ndarray:
    """Total weight of each row (axis 1) or column (axis 0); 1 where there is none."""
    total = np.asarray(edges.sum(axis=axis), np.float64).ravel()
    return np.where(total > 0, total, 1.0)
