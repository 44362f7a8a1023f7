"""What later rows are beside those that a model was fitted to: users and items that are new, rows that changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import Interactions


@dataclass(frozen=True, eq=False)
class Growth:
    """`old_user` int32[n_users] and `old_item` int32[n_items]: the place that each of the later users and items had
    before, -1 for new ones. `changed_user` and `changed_item`: bool, new or with another pair or weight than before.
    `new_pairs`: pairs that were not there before."""

    old_user: NDArray[np.int32]
    old_item: NDArray[np.int32]
    changed_user: NDArray[np.bool_]
    changed_item: NDArray[np.bool_]
    new_pairs: int

    @classmethod
    def between(cls, before: Interactions, after: Interactions) -> Growth:
        """Compares by ids, whatever the order of either."""
        old_user, old_item = before.users.index_of(after.users.ids), before.items.index_of(after.items.ids)
        user, item = after.users.index_of(before.users.ids), after.items.index_of(before.items.ids)
        row, column = user[before.user_index], item[before.item_index]
        kept = (row >= 0) & (column >= 0)
        shape = (after.n_users, after.n_items)
        then = sparse.csr_matrix((before.weight[kept], (row[kept], column[kept])), shape=shape)
        now = sparse.csr_matrix((after.weight, (after.user_index, after.item_index)), shape=shape)
        difference = sparse.csr_matrix(now - then)
        difference.eliminate_zeros()
        changed = difference.tocoo()
        known = then.copy()
        known.data[:] = 1
        there = now.copy()
        there.data[:] = 1
        return cls(
            old_user,
            old_item,
            (old_user < 0) | (np.bincount(changed.row, minlength=shape[0]) > 0),
            (old_item < 0) | (np.bincount(changed.col, minlength=shape[1]) > 0),
            int(there.nnz - there.multiply(known).nnz),
        )

    @property
    def new_users(self) -> int:
        """Users that were unknown before."""
        return int((self.old_user < 0).sum())

    @property
    def new_items(self) -> int:
        """Items that were unknown before."""
        return int((self.old_item < 0).sum())


def carried_over(values: NDArray, old: NDArray[np.int32]) -> NDArray:
    """Rows of `values` at their new places, zeros for new ones: [len(old), ...]."""
    out = np.zeros((len(old), *values.shape[1:]), values.dtype)
    out[old >= 0] = values[old[old >= 0]]
    return out
