"""Items (or users) that must not be listed, from a set of ids to a mask of a model's catalogue."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import IdMap


def excluded_mask(ids: Collection[str], known: IdMap) -> NDArray[np.bool_]:
    """True for the given ids: bool[len(known)]. Ids that are not known are skipped."""
    excluded = np.zeros(len(known), bool)
    index = known.index_of(list(ids))
    excluded[index[index >= 0]] = True
    return excluded


def as_row(excluded: NDArray[np.bool_]) -> sparse.csr_matrix:
    """A mask of the whole catalogue as models take it: bool[1, n]."""
    columns = excluded.nonzero()[0].astype(np.int32)
    template = _empty_row(len(excluded))
    row = sparse.csr_matrix.__new__(sparse.csr_matrix)  # building one anew checks its arrays: ten times as long
    row.__dict__.update(template.__dict__)
    row.data, row.indices = np.ones(len(columns), bool), columns
    row.indptr = np.array((0, len(columns)), np.int32)
    return row


@lru_cache(maxsize=16)
def _empty_row(width: int) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.zeros((1, width), bool))
