"""Features of the candidate: how many users like it, how much, and how active they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recstage.models.features.candidates import Candidates
from recstage.models.features.group import Group, Past, log_popularity, ratio, stacked


class ItemGroup(Group):
    """Aggregates of all histories for one item."""

    name = "item"
    features = {
        "item_popularity": "number of likes, as log(1 + n) minus that of a mean item",
        "item_popularity_rank": "share of the catalogue that has fewer likes",
        "item_weight_mean": "mean weight of its likes",
        "item_dismiss_share": "share of the users who saw it that dismissed it, shrunk to the mean of all items",
        "item_audience": "mean length of the histories it is liked in, as mean log(1 + n), minus that of all likes",
        "item_categories": "number of its categories",
    }
    shrinkage = 10.0

    def learn(self, past: Past) -> None:
        rows, n = past.rows, past.rows.n_items
        likes, seen = rows.item_counts, np.bincount(rows.item_index, minlength=past.rows.n_items)
        liked = rows.weight > 0
        overall = 1 - likes.sum() / max(1, len(rows))
        dismissed = (seen - likes + self.shrinkage * overall) / (seen + self.shrinkage)
        length = np.log1p(rows.lengths)[rows.user_index[liked]]
        columns = [
            log_popularity(past),
            np.searchsorted(np.sort(likes), likes) / n,
            ratio(np.bincount(rows.item_index[liked], rows.weight[liked], n), likes),
            dismissed,
            ratio(np.bincount(rows.item_index[liked], length - length.sum() / max(1, len(length)), n), likes),
            np.diff(past.catalogue.category_matrix.indptr),
        ]
        self.arrays = {"table": stacked(columns, n)}

    def compute(self, candidates: Candidates) -> NDArray[np.float32]:
        return self.arrays["table"][candidates.item]
