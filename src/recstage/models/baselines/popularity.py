"""The most popular items for all users: the baseline that every model must beat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recstage.data.interactions import Interactions, Users
from recstage.models import base


class PopularityParams(base.ModelParams):
    """Hyperparameters of `Popularity`."""

    damping: float = Field(
        0.0, ge=0, description="rate of exponential decay per day of age; 0: interactions of any age count alike"
    )


class Popularity(base.Recommender):
    """Scores an item by the number of users who liked it; with `damping` above 0 older likes count less."""

    name = "popularity"
    Params = PopularityParams
    quick_fit = True
    folds_in = True

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        liked = train.weight > 0
        days = (train.timestamp.max(initial=0) - train.timestamp[liked]) / 86_400
        weight = np.exp(-self.params.damping * days)
        counts = np.bincount(train.item_index[liked], weights=weight, minlength=train.n_items)
        self.scores_ = (counts / max(counts.max(initial=0), 1e-12)).astype(np.float32)

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        if items is None or items.ndim == 1:
            row = self.scores_ if items is None else self.scores_[items]
            return np.repeat(row[None], len(users), axis=0)
        return self.scores_[items]

    def can_score(self, users: Users) -> NDArray[np.bool_]:
        return np.ones(len(users), bool)

    def state(self) -> dict[str, NDArray]:
        return {"scores": self.scores_}

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        self.scores_ = state["scores"]
