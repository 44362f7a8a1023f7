"""Items that a user never touched, drawn uniformly: n a positive for training, 99 a user for the sampled protocol."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recstage.data.interactions import IdMap, Interactions
from recstage.data.schema import ITEM, USER

CELLS_OF_BITMAP = 1 << 31  # a quarter of a gigabyte of bits
ROUNDS = 50


class NegativeSampler:
    """Draws items that `seen` (bool[n_users, n_items], dismissed ones included) does not mark.

    Whether a pair is seen is one look into a bitmap, or, where users x items are too many for one, a binary search.
    """

    def __init__(self, seen: sparse.csr_matrix | Interactions) -> None:
        matrix = seen.all_users.seen if isinstance(seen, Interactions) else seen
        self.n_users, self.n_items = matrix.shape
        self._seen_counts = np.diff(matrix.indptr)
        rows = np.repeat(np.arange(self.n_users, dtype=np.int64), self._seen_counts)
        self._keys = rows * self.n_items + matrix.indices
        self._bits: NDArray[np.uint8] | None = None
        if self.n_users * self.n_items <= CELLS_OF_BITMAP:
            self._bits = np.zeros((self.n_users * self.n_items + 7) // 8, np.uint8)
            np.bitwise_or.at(self._bits, self._keys >> 3, np.uint8(1) << (self._keys & 7).astype(np.uint8))
        else:
            self._keys.sort()

    def is_seen(self, users: NDArray[np.integer], items: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Whether each pair is marked; `users` and `items` broadcast."""
        keys = users.astype(np.int64) * self.n_items + items
        if self._bits is not None:
            return (self._bits[keys >> 3] >> (keys & 7).astype(np.uint8)) & 1 == 1
        place = np.searchsorted(self._keys, keys)
        return (
            self._keys[np.minimum(place, len(self._keys) - 1)] == keys
            if len(self._keys)
            else np.zeros(keys.shape, bool)
        )

    def sample(self, users: ArrayLike, n: int, rng: np.random.Generator) -> NDArray[np.int32]:
        """`n` unseen items for each entry of `users` (indices, repeats welcome), drawn with replacement: int32[len, n].
        A user who has seen everything gets -1."""
        users = np.asarray(users)
        out = rng.integers(0, self.n_items, (len(users), n), dtype=np.int32)
        rows, columns = np.nonzero(self.is_seen(users[:, None], out))
        for _ in range(ROUNDS):
            if not len(rows):
                return out
            drawn = rng.integers(0, self.n_items, len(rows), dtype=np.int32)
            out[rows, columns] = drawn
            again = self.is_seen(users[rows], drawn)
            rows, columns = rows[again], columns[again]
        for row in np.unique(rows):  # users who have seen nearly all: choose among the rest
            mine = columns[rows == row]
            unseen = self.unseen(users[row])
            out[row, mine] = rng.choice(unseen, len(mine)) if len(unseen) else -1
        return out

    def sample_distinct(self, users: ArrayLike, n: int, rng: np.random.Generator) -> NDArray[np.int32]:
        """`n` different unseen items for each user: int32[len, n], padded with -1 where there are not so many."""
        users = np.asarray(users)
        out = np.full((len(users), n), -1, np.int32)
        few = has_few(self.n_items - self._seen_counts[users], n)  # drawing blindly would take long: shuffle these
        for row in np.flatnonzero(few):
            unseen = rng.permutation(self.unseen(users[row]))[:n]
            out[row, : len(unseen)] = unseen
        open_rows = np.flatnonzero(~few)
        while len(open_rows):
            out[open_rows] = self.filled(users[open_rows], out[open_rows], rng)
            open_rows = open_rows[(out[open_rows] < 0).any(axis=1)]
        return out

    def unseen(self, user: int) -> NDArray[np.int32]:
        """All items the user never touched, ascending."""
        everything = np.arange(self.n_items, dtype=np.int32)
        return everything[~self.is_seen(np.full(self.n_items, user), everything)]

    def filled(self, users: NDArray, rows: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
        """Each row's items so far, then new draws, without the seen and the repeated; in the order they were drawn."""
        n = rows.shape[1]
        drawn = np.concatenate([rows, rng.integers(0, self.n_items, (len(users), n + 8), dtype=np.int32)], axis=1)
        order = np.argsort(drawn, axis=1, kind="stable")
        ranked = np.take_along_axis(drawn, order, axis=1)
        repeated = np.zeros(drawn.shape, bool)
        np.put_along_axis(repeated, order[:, 1:], ranked[:, 1:] == ranked[:, :-1], axis=1)
        bad = repeated | (drawn < 0) | self.is_seen(users[:, None], np.maximum(drawn, 0))
        kept = np.argsort(bad, axis=1, kind="stable")[:, :n]
        return np.where(np.take_along_axis(bad, kept, axis=1), -1, np.take_along_axis(drawn, kept, axis=1))


def has_few(unseen: NDArray[np.integer], n: int) -> NDArray[np.bool_]:
    """Users with so few unseen items that `n` different ones are hardly found by drawing."""
    return unseen < 2 * n + 10


def given_candidates(negatives: pd.DataFrame, users: IdMap, items: IdMap) -> NDArray[np.int32]:
    """A frame of (user_id, item_id) as int32[n_users, most a user has], padded with -1; unknown ids are left out."""
    user, item = users.index_of(negatives[USER].astype(object)), items.index_of(negatives[ITEM].astype(object))
    known = (user >= 0) & (item >= 0)
    order = np.argsort(user[known], kind="stable")
    user, item = user[known][order], item[known][order]
    counts = np.bincount(user, minlength=len(users))
    place = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    out = np.full((len(users), int(counts.max(initial=0))), -1, np.int32)
    out[user, place] = item
    return out


def sample(seen: sparse.csr_matrix | Interactions, n: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """`n` negatives for each stored entry of `seen`, row by row in its order: int32[nnz, n]."""
    matrix = seen.all_users.seen if isinstance(seen, Interactions) else seen
    users = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return NegativeSampler(matrix).sample(users, n, rng)
