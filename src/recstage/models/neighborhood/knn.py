"""Nearest neighbours: similar users chose an item, or it is similar to what the user chose.

Cosine similarity with shrinkage over rows weighted as they are, by TF-IDF or by BM25: Sarwar, Karypis, Konstan and
Riedl, "Item-Based Collaborative Filtering Recommendation Algorithms" (WWW 2001), with the details that Ferrari Dacrema,
Cremonesi and Jannach found to matter, "Are We Really Making Much Progress?" (RecSys 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recstage.data.interactions import Interactions, Users
from recstage.models import base
from recstage.models.explanation import NAMED, by_popularity, largest, listed, title_of
from recstage.models.neighborhood.neighbors import ItemNeighbors, Rows, popularity_discount, table, weighted_sum
from recstage.models.neighborhood.weighting import Kind, Weighting, unit
from recstage.models.recent_items import recent


class KnnParams(base.ModelParams):
    """Hyperparameters of `Knn`."""

    by: Literal["user", "item"] = Field("user", description="neighbours of the user, or of each item")
    neighbors: int = Field(300, ge=1, description="nearest neighbours used")
    weighting: Kind = Field("none", description="of the rows compared: none, tfidf, bm25")
    k1: float = Field(1.2, gt=0, description="bm25: how soon repeated interactions saturate")
    b: float = Field(0.75, ge=0, le=1, description="bm25: how much long rows are discounted")
    shrinkage: float = Field(0.0, ge=0, description="added to the denominator of the cosine")
    amplification: float = Field(1.0, gt=0, description="exponent of similarities: above 1 the nearest weigh more")
    popularity_discount: float = Field(
        0.0, ge=0, le=1, description="scores are divided by the item's popularity to this power"
    )
    recency_decay: float = Field(0.0, ge=0, description="the n-th last choice has weight 1 / n**recency_decay")
    similarity_recency_decay: float = Field(0.0, ge=0, description="the same, in the histories that are compared")
    renamed: ClassVar[Mapping[str, str]] = {"likeness_decay": "similarity_recency_decay"}


class Knn(ItemNeighbors):
    """Scores an item by the similarity of the neighbours that chose it (`by: user`) or of those chosen (`by: item`)."""

    name = "knn"
    Params = KnnParams
    quick_fit = True

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        self._compare(train)
        found, similarity = self._compared.nearest(self.params.neighbors, fitting.backend)
        self._set(found, similarity**self.params.amplification)

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        if self.params.by == "item":
            return super().score(users, items)
        return weighted_sum(self._similar_users(users), self._choices, items)

    def explain(self, users: Users, item: int) -> base.Explanation:
        """The neighbours used, and the contribution of each."""
        if self.params.by == "item":
            return super().explain(users, item)
        similar = self._similar_users(users)
        added = self._choices[similar.indices, item].toarray().ravel() * similar.data
        contributions = largest("user", self.train_.users.id_of(similar.indices).tolist(), added)
        if not contributions:
            return by_popularity(self.train_, item)
        near, chose = similar.nnz, len(contributions)
        share = self.train_.item_counts[item] / max(1, self.train_.n_users)
        text = f"Of the {near} users most similar to you {chose} ({chose / near:.0%}) chose it, of all {share:.0%}."
        shared = self._shared(users, similar.indices[added > 0])
        if shared:
            text += f" What they and you chose: {shared}."
        return base.Explanation(self.name, float(added.sum()), text, contributions)

    def _shared(self, users: Users, others: NDArray[np.int32]) -> str:
        """The items of the one user's history that most of the `others` chose, in words."""
        own = users.items[users.weights > 0]
        theirs = self.train_.of(others)
        counts = np.bincount(theirs.items[theirs.weights > 0], minlength=self.n_items)[own]
        most = own[np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)][:NAMED]]
        return listed([title_of(self.catalogue_, item_id) for item_id in self.items.id_of(most).tolist()])

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        if self.params.by == "user":
            self._compare(self.train_)
        super()._load_state(state)

    def _compare(self, train: Interactions) -> None:
        """Set the weighted row of every user (or item) by which similarities are computed."""
        params = self.params
        histories = recent(train.all_users, params.similarity_recency_decay)
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
        self._choices = (unit(histories) @ sparse.diags_array(discount)).tocsr()

    def _similar_users(self, users: Users) -> sparse.csr_matrix:
        """Similarities of each user's nearest trained users, computed for unknown users: float32[n, n_users]."""
        found, similarity = self.neighbors_[users.index], self.similarity_[users.index]
        unknown = np.flatnonzero(users.index < 0)
        if len(unknown):
            rows = self._weigh(recent(users.take(unknown), self.params.similarity_recency_decay))
            found[unknown], raw = self._compared.similar(rows, self.params.neighbors)
            similarity[unknown] = raw**self.params.amplification
        return table(found, similarity, self.train_.n_users)
