"""Candidates of users with their features, some users at a time: the input of the trees, in training and in ranking."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import Users
from recstage.models.base import SCORES_AT_ONCE, Recommender
from recstage.models.features import Candidates, FeatureTable, generate_candidates
from recstage.models.lambdarank.params import LambdaRankParams

PAIRS_AT_ONCE = 1 << 17
"""Candidates whose features are computed at once: bounds memory."""
ExclusionMask = Callable[[Users], sparse.csr_matrix | None]
"""Marks items that are no candidates of each user: bool[n, n_items], None: all items are."""


@dataclass(frozen=True, eq=False)
class FittedStage:
    """Retrievers and the table of features, fitted to the same rows."""

    retrievers: dict[str, Recommender]
    table: FeatureTable

    def only(self, params: LambdaRankParams) -> FittedStage:
        """The same stage with the retrievers and groups of features of `params` alone."""
        retrievers = {retriever.name: self.retrievers[retriever.name] for retriever in params.retrievers}
        table = feature_table(params, list(retrievers))
        table.load(self.table.state())
        return FittedStage(retrievers, table)


def feature_table(params: LambdaRankParams, retrievers: Sequence[str]) -> FeatureTable:
    """The table of the features that `params` names, of these retrievers; it has learnt nothing yet."""
    return FeatureTable(params.groups, list(retrievers), params.user_attributes, params.context)


def iter_candidate_features(
    retrievers: Mapping[str, Recommender],
    table: FeatureTable,
    users: Users,
    depth: int,
    excluded: ExclusionMask,
    also: NDArray[np.int64] | None = None,
    *,
    live: bool = False,
) -> Iterator[tuple[slice, Candidates, NDArray[np.float32]]]:
    """Candidates and features of users, some rows at a time.

    Yields a slice of `users`, its p candidates, and features float32[p, n_features]. `depth` items are taken from
    each retriever, those that `excluded` marks left out; `also` adds pairs (row * n_items + item, ascending: int64[q]).
    `live`: the histories have grown since the retrievers were fitted.
    """
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
