"""Nearest neighbours: people like you chose it, or it is like what you chose.

Cosine similarity with shrinkage over rows weighted as they are, by TF-IDF or by BM25: Sarwar, Karypis, Konstan and
Riedl, "Item-Based Collaborative Filtering Recommendation Algorithms" (WWW 2001), with the details that Ferrari Dacrema,
Cremonesi and Jannach found to matter, "Are We Really Making Much Progress?" (RecSys 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recstage.data.interactions import Interactions, Users
from recstage.models import base
from recstage.models.explanation import by_popularity, largest
from recstage.models.neighborhood.neighbors import ItemNeighbors, Rows, popularity_discount, table, votes
from recstage.models.neighborhood.weighting import Kind, Weighting, unit
from recstage.models.recent_items import recent


class KnnParams(base.ModelParams):
    """Hyperparameters of `Knn`."""

    by: Literal["user", "item"] = Field("user", description="whose neighbours speak: the user's, or each item's")
    neighbors: int = Field(300, ge=1, description="nearest neighbours that speak")
    weighting: Kind = Field("none", description="of the rows compared: none, tfidf, bm25")
    k1: float = Field(1.2, gt=0, description="bm25: how soon repeats stop adding")
    b: float = Field(0.75, ge=0, le=1, description="bm25: how far long rows are discounted")
    shrinkage: float = Field(0.0, ge=0, description="added to the denominator of the cosine")
    amplification: float = Field(1.0, gt=0, description="exponent of similarities: above 1 the nearest speak louder")
    popularity_discount: float = Field(0.0, ge=0, le=1, description="exponent of an item's popularity, divided by")
    recency_decay: float = Field(0.0, ge=0, description="the n-th last choice of a history speaks 1 / n**recency_decay")
    likeness_decay: float = Field(0.0, ge=0, description="the same, where histories are compared")


class Knn(ItemNeighbors):
    """Scores an item by how near the neighbours are that chose it (`by: user`) or that the user chose (`by: item`)."""

    name = "knn"
    Params = KnnParams

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        self._compare(train)
        found, similarity = self._compared.nearest(self.params.neighbors)
        self._set(found, similarity**self.params.amplification)

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        if self.params.by == "item":
            return super().score(users, items)
        return votes(self._voters(users), self._ballots, items)

    def explain(self, users: Users, item: int) -> base.Explanation:
        """The neighbours that spoke."""
        if self.params.by == "item":
            return super().explain(users, item)
        voters = self._voters(users)
        added = self._ballots[voters.indices, item].toarray().ravel() * voters.data
        contributions = largest("user", self.train_.users.id_of(voters.indices).tolist(), added)
        if not contributions:
            return by_popularity(self.train_, item)
        text = f"{len(contributions)} of the {voters.nnz} people whose choices are nearest to yours chose it."
        return base.Explanation(self.name, float(added.sum()), text, contributions)

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        if self.params.by == "user":
            self._compare(self.train_)
        super()._load_state(state)

    def _compare(self, train: Interactions) -> None:
        """Describe every user (or item) by the weighted row that the others are compared with."""
        params = self.params
        histories = recent(train.all_users, params.likeness_decay)
        rows = histories if params.by == "user" else histories.T.tocsr()
        self._weigh = Weighting.of(rows, params.weighting, k1=params.k1, b=params.b)
        self._compared = Rows(self._weigh(rows), shrinkage=params.shrinkage)

    def _set(self, neighbors: NDArray[np.int32], similarity: NDArray[np.float32]) -> None:
        if self.params.by == "item":
            super()._set(neighbors, similarity)
            return
        self.neighbors_, self.similarity_ = neighbors, similarity
        histories = recent(self.train_.all_users, self.params.recency_decay)
        discount = popularity_discount(self.train_.item_counts, self.params.popularity_discount)
        self._ballots = (unit(histories) @ sparse.diags_array(discount)).tocsr()

    def _voters(self, users: Users) -> sparse.csr_matrix:
        """Similarity of each user's nearest trained users, found anew for strangers: float32[n, n_users]."""
        found, similarity = self.neighbors_[users.index], self.similarity_[users.index]
        strange = np.flatnonzero(users.index < 0)
        if len(strange):
            rows = self._weigh(recent(users.take(strange), self.params.likeness_decay))
            found[strange], nearness = self._compared.similar(rows, self.params.neighbors)
            similarity[strange] = nearness**self.params.amplification
        return table(found, similarity, self.train_.n_users)
