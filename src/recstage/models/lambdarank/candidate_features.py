"""Candidates of users with their features, some users at a time: what the trees learn from, and what they rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import Users
from recstage.models.base import SCORES_AT_ONCE, Recommender
from recstage.models.features import Candidates, FeatureTable, generate_candidates

PAIRS_AT_ONCE = 1 << 17
"""Candidates featurised at once: bounds memory."""
Barred = Callable[[Users], sparse.csr_matrix | None]
"""What is no candidate of each user, bool[n, n_items]."""


def iter_candidate_features(
    retrievers: Mapping[str, Recommender],
    table: FeatureTable,
    users: Users,
    depth: int,
    excluded: Barred,
    also: NDArray[np.int64] | None = None,
    *,
    live: bool = False,
) -> Iterator[tuple[slice, Candidates, NDArray[np.float32]]]:
    """Slates and features of the users, some rows at a time. What is `excluded` is no candidate; `also` adds pairs
    (row * n_items + item, ascending). `live`: the histories have grown since the retrievers were fitted."""
    step = max(1, min(SCORES_AT_ONCE // users.n_items, PAIRS_AT_ONCE // (depth * len(retrievers))))
    for start in range(0, len(users), step):
        rows = slice(start, min(len(users), start + step))
        some = users.take(np.arange(rows.start, rows.stop))
        extra = None
        if also is not None:
            low, high = np.searchsorted(also, [rows.start * users.n_items, rows.stop * users.n_items])
            extra = also[low:high] - rows.start * users.n_items
        candidates = generate_candidates(retrievers, some, depth, excluded(some), extra, live=live)
        yield rows, candidates, table.compute(candidates)
