"""Transitions: a Markov model over the order of histories, damped, and summed over a user's last items.

Each pair of items at most `window` steps apart in a history counts as a transition from the earlier to the later,
nearer pairs more. A user's score for an item is the sum, over their last items, of the damped number of transitions
from each, the latest with the highest weight. First-order chains are in Rendle, Freudenthaler and Schmidt-Thieme,
"Factorizing Personalized Markov Chains" (WWW 2010); windows and decay follow Garg, Gupta, Malhotra, Vig and Shroff,
"Sequence and Time Aware Neighborhood for Session-based Recommendations" (SIGIR 2019), and the power that damps counts,
GloVe (Pennington, Socher and Manning, EMNLP 2014).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from tqdm import tqdm

from recstage.data.interactions import Interactions, Users
from recstage.models import base
from recstage.models.explanation import by_history

PAIRS_AT_ONCE = 1 << 23
"""Pairs counted before they are merged: bounds the memory of counting."""


class TransitionsParams(base.ModelParams):
    """Hyperparameters of `Transitions`."""

    window: int = Field(20, ge=1, description="most steps between two items of a transition")
    lag_decay: float = Field(1.0, ge=0, description="a transition over d steps counts 1 / d**lag_decay")
    backward: float = Field(
        0.3, ge=0, le=1, description="weight of a transition in the other direction: rows of one moment have no order"
    )
    damping: float = Field(0.4, gt=0, le=1, description="exponent of the counts; 1: as they are")
    source_discount: float = Field(
        0.32, ge=0, le=1, description="strengths are divided by the earlier item's frequency to this power"
    )
    popularity_discount: float = Field(
        0.2, ge=0, le=1, description="strengths are divided by the later item's frequency to this power"
    )
    shrinkage: float = Field(30.0, gt=0, description="added to frequencies: bounds the strength of rare items")
    history: int = Field(20, ge=1, description="number of a user's last items used")
    recency_decay: float = Field(1.0, ge=0, description="the n-th last item has weight 1 / n**recency_decay")
    neighbors: int = Field(1000, ge=1, description="strongest transitions kept of each item")


class Transitions(base.Recommender):
    """Scores an item by the transitions that lead to it from the user's last items."""

    name = "transitions"
    Params = TransitionsParams
    quick_fit = True
    folds_in = True
    needs_order = True
    minimum_positives = 2

    links_: sparse.csr_matrix
    """Strength of each transition, from row to column: float32[n_items, n_items]."""

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        params = self.params
        counts = transition_counts(train, params.window, params.lag_decay)
        if params.backward:
            counts = sparse.csr_matrix(counts + np.float32(params.backward) * counts.T)
        frequency = train.item_counts + params.shrinkage
        counts.data **= np.float32(params.damping)
        links = (
            sparse.diags_array((frequency**-params.source_discount).astype(np.float32))
            @ counts
            @ sparse.diags_array((frequency**-params.popularity_discount).astype(np.float32))
        )
        self.links_ = strongest(sparse.csr_matrix(links), params.neighbors)

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        return base.gather((self._last_items(users) @ self.links_).toarray(), items)

    def explain(self, users: Users, item: int) -> base.Explanation:
        """The last items with transitions to it."""
        last = latest(users, self.params.history)[0]
        last = last[last >= 0]
        strength = np.asarray(self.links_[last, np.full(len(last), item)]).ravel()
        values = strength * self._weights()[: len(last)]
        return by_history(self.name, self.train_, self.catalogue_, item, last, values)

    def state(self) -> dict[str, NDArray]:
        return {"indptr": self.links_.indptr, "indices": self.links_.indices, "data": self.links_.data}

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        shape = (self.n_items, self.n_items)
        self.links_ = sparse.csr_matrix((state["data"], state["indices"], state["indptr"]), shape=shape)

    def _weights(self) -> NDArray[np.float32]:
        return (np.arange(1, self.params.history + 1) ** -float(self.params.recency_decay)).astype(np.float32)

    def _last_items(self, users: Users) -> sparse.csr_matrix:
        """Weight of each of the last items: float32[n, n_items]."""
        last = latest(users, self.params.history)
        present = last >= 0
        weights = np.broadcast_to(self._weights(), last.shape)[present]
        indptr = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
        return sparse.csr_matrix((weights, last[present], indptr), shape=(len(users), self.n_items))


def latest(users: Users, length: int) -> NDArray[np.int32]:
    """Each user's last positive items, latest first: int32[n, length], padded with -1."""
    liked = users.weights > 0
    items = users.items[liked]
    ends = np.cumsum(np.bincount(users.rows[liked], minlength=len(users)))
    starts = np.concatenate([[0], ends[:-1]])
    at = ends[:, None] - 1 - np.arange(length)
    known = at >= starts[:, None]
    out = np.full(at.shape, -1, np.int32)
    out[known] = items[at[known]]
    return out


def transition_counts(rows: Interactions, window: int, lag_decay: float, nearest: int = 1) -> sparse.csr_matrix:
    """Transitions between items, over the positive rows of each user in order: float32[n_items, n_items].

    A pair d steps apart (nearest <= d <= window) adds weight / d**lag_decay, with the weight of the later row.
    """
    liked = rows.weight > 0
    user, item, weight = rows.user_index[liked], rows.item_index[liked], rows.weight[liked]
    shape = (rows.n_items, rows.n_items)
    nothing = np.empty(0, np.int32)
    total = sparse.csr_matrix((np.empty(0, np.float32), (nothing, nothing)), shape=shape)
    blocks: list[tuple[NDArray, NDArray, NDArray]] = []
    for lag in tqdm(range(nearest, window + 1), desc="count transitions", disable=None, delay=2, leave=False):
        together = user[lag:] == user[:-lag]  # rows are sorted by user and time: a shift pairs rows `lag` apart
        blocks.append((item[:-lag][together], item[lag:][together], weight[lag:][together] * lag**-lag_decay))
        if lag == window or sum(len(block[0]) for block in blocks) >= PAIRS_AT_ONCE:
            before, after, value = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
            total = total + sparse.csr_matrix((value.astype(np.float32), (before, after)), shape=shape)
            blocks.clear()
    total.sort_indices()
    return total


def strongest(matrix: sparse.csr_matrix, per_row: int) -> sparse.csr_matrix:
    """The `per_row` highest entries of each row; ties go to the lowest column."""
    matrix.sort_indices()
    lengths = np.diff(matrix.indptr)
    kept = np.ones(matrix.nnz, bool)
    for row in np.flatnonzero(lengths > per_row):
        entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
        values = matrix.data[entries]
        edge = np.partition(values, len(values) - per_row)[len(values) - per_row]
        level = np.flatnonzero(values == edge)
        kept[entries] = values > edge
        kept[matrix.indptr[row] + level[: per_row - np.count_nonzero(values > edge)]] = True
    indptr = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr]
    return sparse.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), shape=matrix.shape)
