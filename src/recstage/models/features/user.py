"""Features of the user: activity, weights given, and popularity of the liked items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recstage.data.interactions import Users
from recstage.models.features.candidates import Candidates
from recstage.models.features.group import Group, Past, log_popularity, ratio, stacked


class UserGroup(Group):
    """Aggregates of a history."""

    name = "user"
    features = {
        "user_likes": "number of items liked so far, as log(1 + n)",
        "user_dismiss_share": "share of the history that was dismissed",
        "user_weight_mean": "mean weight of the likes",
        "user_weight_spread": "standard deviation of the weights of the likes",
        "user_popularity": "mean popularity of the liked items, as log(1 + likes) minus that of a mean item",
        "user_popularity_spread": "standard deviation of that popularity",
        "user_popularity_recent": "mean popularity of the last ten liked items",
        "user_popularity_gap": "the candidate's popularity minus the mean of the user's likes",
        "user_popularity_gap_recent": "the candidate's popularity minus the mean of the user's last ten likes",
    }

    def learn(self, past: Past) -> None:
        self.arrays = {"popularity": log_popularity(past)}

    def compute(self, candidates: Candidates) -> NDArray[np.float32]:
        popularity = self.arrays["popularity"]
        users, row = candidates.users, candidates.row
        liked = users.weights > 0
        of, weight = users.rows[liked], users.weights[liked]
        likes = np.bincount(of, minlength=len(users))
        weight_mean, weight_spread = _moments(of, weight, likes)
        mean, spread = _moments(of, popularity[users.items[liked]], likes)
        last = candidates.latest
        recent = ratio(np.where(last >= 0, popularity[last], 0).sum(axis=1), (last >= 0).sum(axis=1))
        own = popularity[candidates.item]
        of_users = [np.log1p(likes), _dismiss_share(users, likes), weight_mean, weight_spread, mean, spread, recent]
        return stacked([*(values[row] for values in of_users), own - mean[row], own - recent[row]], len(candidates))


def _dismiss_share(users: Users, likes: NDArray[np.int64]) -> NDArray[np.float32]:
    return ratio(users.lengths - likes, users.lengths)


def _moments(
    of: NDArray[np.int64], values: NDArray[np.float32], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each user's values, NaN without any: float32[n] each."""
    n = len(counts)
    mean = ratio(np.bincount(of, values, n), counts)
    square = ratio(np.bincount(of, np.square(values, dtype=np.float64), n), counts)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))
