"""Users without a history, of whom attributes are known: ranked by what users like them choose.

Naive Bayes over the attributes of the feature group `profile`: the log of an item's popularity, plus `WEIGHT` times the
sum of its crossed counts with the user's values. Attributes depend on each other (age and occupation), which a weight
below 1 allows for; it was chosen on validation rows of ml-100k.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recstage.data.interactions import Interactions, Users
from recstage.models.features import FeatureTable
from recstage.models.features.attributes import ProfileAttributes

PROFILE = "profile"
WEIGHT = 0.5


def ranked_by_profile(table: FeatureTable, users: Users) -> NDArray[np.bool_]:
    """Users who liked nothing and have an attribute that training met: bool[n]."""
    group = _group(table)
    if group is None:
        return np.zeros(len(users), bool)
    liked = np.bincount(users.rows[users.weights > 0], minlength=len(users)) > 0
    return group.has_any(users) & ~liked


def scores_by_profile(table: FeatureTable, users: Users, rows: Interactions) -> NDArray[np.float32]:
    """Scores of all items for such users, `rows` those of training: float32[n, n_items]."""
    group = _group(table)
    assert group is not None, "no attribute is declared: no user is ranked by any"
    return np.log1p(rows.item_counts).astype(np.float32) + np.float32(WEIGHT) * group.lifts_of(users)


def _group(table: FeatureTable) -> ProfileAttributes | None:
    return next((group for group in table.groups if isinstance(group, ProfileAttributes)), None)
