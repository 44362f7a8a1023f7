"""Each user's candidates, with the scores and ranks of the retrievers.

One code path makes them, for training, for whole batches and for one request: any difference between those is a bug.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import Users
from recstage.models.base import Recommender, mask_excluded, top_k
from recstage.models.neighborhood.transitions import latest

LATEST = 10
"""Number of a user's last items that features look at one by one."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates of a batch of users as flat pairs, sorted by (`row`, `item`).

    `row` int64[p] is a position in `users`, `item` int32[p] a candidate. `scores` float32[p, r] are those of the r
    retrievers (NaN if one cannot score the user), `ranks` int32[p, r] places in their lists, from 1; `depth` + 1: not
    listed. `whole` are their scores of all items, float32[n, n_items], None for those that did not compute them.
    """

    users: Users
    row: NDArray[np.int64]
    item: NDArray[np.int32]
    scores: NDArray[np.float32]
    ranks: NDArray[np.int32]
    depth: int
    whole: Sequence[NDArray[np.float32] | None]

    def __len__(self) -> int:
        return len(self.row)

    @cached_property
    def keys(self) -> NDArray[np.int64]:
        """row * n_items + item of each pair, ascending."""
        return self.row * self.users.n_items + self.item

    @cached_property
    def indptr(self) -> NDArray[np.int64]:
        """Offsets of each user's pairs: int64[n + 1]."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.row, minlength=len(self.users)))])

    @cached_property
    def latest(self) -> NDArray[np.int32]:
        """Each user's last liked items, latest first: int32[n, LATEST], -1: no more."""
        return latest(self.users, LATEST)

    @cached_property
    def dismissed(self) -> NDArray[np.int32]:
        """Each user's last dismissed items, latest first: int32[n, LATEST], -1: no more."""
        users = self.users
        negated = Users(users.index, users.indptr, users.items, -users.weights, users.timestamps, users.n_items)
        return latest(negated, LATEST)

    def best(self, values: NDArray) -> NDArray:
        """For each pair, the highest value among its user's candidates: shaped as `values` ([p] or [p, m])."""
        filled = np.flatnonzero(np.diff(self.indptr))
        best = np.full((len(self.users), *values.shape[1:]), np.nan, np.float32)
        if len(filled):
            best[filled] = np.fmax.reduceat(values, self.indptr[filled], axis=0)
        return best[self.row]


def generate_candidates(
    retrievers: Mapping[str, Recommender],
    users: Users,
    depth: int,
    excluded: sparse.csr_matrix | None,
    also: NDArray[np.int64] | None = None,
    *,
    live: bool = False,
) -> Candidates:
    """The union of each retriever's `depth` best items and of the pairs `also` (row * n_items + item).

    `excluded` (bool[n, n_items]) marks items that are not retrieved. `live`: histories have grown since the retrievers
    were fitted; retrievers that can, fold them in instead of using the state of that time.
    """
    grown = replace(users, index=np.full(len(users), -1, np.int32)) if live else users
    lists = [
        _Proposal.of(retriever, grown if retriever.folds_in else users, depth, excluded)
        for retriever in retrievers.values()
    ]
    more = [] if also is None else [also]
    keys = np.unique(np.concatenate([*(proposal.keys for proposal in lists), *more]))
    row, item = keys // users.n_items, (keys % users.n_items).astype(np.int32)
    scores = np.stack([proposal.score(row, item) for proposal in lists], axis=1)
    ranks = np.stack([proposal.rank(keys) for proposal in lists], axis=1)
    return Candidates(users, row, item, scores, ranks, depth, [proposal.whole for proposal in lists])


@dataclass(frozen=True, eq=False)
class _Proposal:
    """One retriever's list for a batch: `items` int32[n, depth], padded with -1.

    `whole` float32[n, n_items] are its scores of all items, if it computed them; `able` bool[n]: users it can score.
    """

    retriever: Recommender
    users: Users
    able: NDArray[np.bool_]
    items: NDArray[np.int32]
    whole: NDArray[np.float32] | None

    @classmethod
    def of(cls, retriever: Recommender, users: Users, depth: int, excluded: sparse.csr_matrix | None) -> _Proposal:
        able = retriever.can_score(users)
        items = np.full((len(users), depth), -1, np.int32)
        if not able.any():
            return cls(retriever, users, able, items, None)
        rows = np.flatnonzero(able)
        scored = users if able.all() else users.take(rows)
        mask = excluded if excluded is None or able.all() else excluded[rows]
        if retriever.indexed:
            items[rows] = retriever.retrieve(scored, depth, mask)[0]
            return cls(retriever, users, able, items, None)
        scores = retriever.score(scored)
        items[rows] = top_k(scores if mask is None else mask_excluded(scores.copy(), mask), depth)[0]
        if able.all():
            return cls(retriever, users, able, items, scores)
        whole = np.full((len(users), users.n_items), np.nan, np.float32)
        whole[rows] = scores
        return cls(retriever, users, able, items, whole)

    @cached_property
    def _placed(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        row, place = np.nonzero(self.items >= 0)
        return row, place

    @cached_property
    def keys(self) -> NDArray[np.int64]:
        """row * n_items + item of each entry."""
        row, place = self._placed
        return row * self.users.n_items + self.items[row, place].astype(np.int64)

    def rank(self, keys: NDArray[np.int64]) -> NDArray[np.int32]:
        """Place of each of the sorted `keys` in its user's list, from 1."""
        ranks = np.full(len(keys), self.items.shape[1] + 1, np.int32)
        ranks[np.searchsorted(keys, self.keys)] = self._placed[1] + 1
        return ranks

    def score(self, row: NDArray[np.int64], item: NDArray[np.int32]) -> NDArray[np.float32]:
        """The retriever's score of each pair, sorted by row."""
        if self.whole is not None:
            return self.whole[row, item]
        scores = np.full(len(row), np.nan, np.float32)
        if not self.able.any():
            return scores
        # pairs become a rectangle, one row per user, so that the retriever reads each history once
        lengths = np.bincount(row, minlength=len(self.users))
        place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        wide = np.zeros((len(self.users), lengths.max()), np.int32)
        wide[row, place] = item
        able = np.flatnonzero(self.able)
        found = np.full(wide.shape, np.nan, np.float32)
        found[able] = self.retriever.score(self.users.take(able), wide[able])
        return found[row, place]
