"""Top-k, masks and chunks of scores: highest score first, ties to the lowest index; -inf and NaN are never chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

SCORES_AT_ONCE = 1 << 24  # floats of one chunk of scores: 64 MB
TILE = 1 << 18  # scores worked on at once: few enough to stay in the cache over all passes
ROUNDS = 32
LOWEST = np.finfo(np.float32).min


def top_k(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Columns and values of the k highest scores of each row: int32[n, k], float32[n, k].

    Ties go to the lowest column. Rows with fewer than k scores above -inf are padded with column -1 and score -inf.
    """
    n, m = scores.shape
    columns = np.full((n, k), -1, dtype=np.int32)
    values = np.full((n, k), -np.inf, dtype=np.float32)
    if n == 1 and _place_row(scores[0], columns[0], values[0]):
        return columns, values
    step = max(1, TILE // max(1, m))
    for start in range(0, n if min(k, m) else 0, step):
        tile = slice(start, start + step)
        rows, chosen = np.divmod(np.flatnonzero(_contenders(scores[tile], min(k, m))), m)
        _place(scores[tile], rows, chosen, columns[tile], values[tile])
    return columns, values


def top_k_of(
    scores: NDArray[np.float32], pool: NDArray[np.int32], excluded: sparse.csr_matrix | None, k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """`top_k` of the scores of some items: `scores` float32[n, m] belong to the items `pool` int32[m] (ascending).

    `excluded` bool[n, n_items] marks items left out. Returns item indices int32[n, k] and scores float32[n, k].
    """
    columns, values = top_k(mask_excluded(scores, None if excluded is None else excluded[:, pool]), k)
    return np.where(columns >= 0, pool[columns], -1).astype(np.int32), values


def chunks(n: int, width: int) -> list[slice]:
    """Slices of n rows that keep rows x width under `SCORES_AT_ONCE`."""
    step = max(1, SCORES_AT_ONCE // max(1, width))
    return [slice(start, min(n, start + step)) for start in range(0, n, step)]


def exclusion_mask(hidden: NDArray[np.bool_], n: int, seen: sparse.csr_matrix | None) -> sparse.csr_matrix | None:
    """The items left out of n users' lists: bool[n, n_items], None where there are none.

    `hidden` bool[n_items] holds for all users, `seen` bool[n, n_items] for each (None: seen items are allowed).
    """
    if not hidden.any():
        return seen
    columns = np.flatnonzero(hidden).astype(np.int32)
    # CSR by hand: every row has the same columns, so that no dense n x n_items array is ever made
    shared = sparse.csr_matrix(
        (np.ones(n * len(columns), bool), np.tile(columns, n), np.arange(n + 1) * len(columns)),
        shape=(n, len(hidden)),
    )
    return shared if seen is None else (shared + seen).tocsr()


def mask_excluded(scores: NDArray[np.float32], excluded: sparse.csr_matrix | None) -> NDArray[np.float32]:
    """Set -inf, in place, where `excluded` (same shape) has an entry."""
    if excluded is not None and len(scores) == 1:
        scores[0, excluded.indices] = -np.inf
    elif excluded is not None and excluded.nnz:
        rows = np.repeat(np.arange(excluded.shape[0]), np.diff(excluded.indptr))
        scores[rows, excluded.indices] = -np.inf
    return scores


def gather(scores: NDArray[np.float32], items: NDArray[np.int32] | None) -> NDArray[np.float32]:
    """Columns of whole-catalogue scores as `Recommender.score` returns them for its `items` argument."""
    if items is None:
        return scores
    return scores[:, items] if items.ndim == 1 else np.take_along_axis(scores, items.astype(np.int64), axis=1)


def _place_row(row: NDArray[np.float32], columns: NDArray[np.int32], values: NDArray[np.float32]) -> bool:
    """The best of one row, in a fifth of the time of the general way; False, and nothing is written, where many scores
    are equal or some are NaN.

    `row`: float32[m]; `columns` int32[k] and `values` float32[k] are written.
    """
    k, m = len(columns), len(row)
    groups = 4 * k + 24
    if not k or m < 2 * groups:
        return False
    depth = m // groups
    best = np.partition(row[: groups * depth].reshape(depth, groups).max(axis=0), groups - k)[groups - k :]
    bound = best[0]
    total = best.sum()
    if total != total or bound == -np.inf:  # NaN is not itself
        return False
    found = (row >= bound).nonzero()[0]
    if len(found) > 8 * k + 64:
        return False
    scores = row.take(found)
    order = (-scores).argsort(kind="stable")[:k]
    columns[:], values[:] = found[order], scores[order]
    return True


def _contenders(scores: NDArray[np.float32], width: int) -> NDArray[np.bool_]:
    """Marks a few scores of each row, including its `width` best: bool[n, m]."""
    chosen = scores >= _lower_bound(scores, width)[:, None]
    crowded = np.flatnonzero(np.count_nonzero(chosen, axis=1) > 8 * width + 64)
    if len(crowded):  # many equal scores, or a row with few scores above -inf
        chosen[crowded] = _exactly(scores[crowded], width)
    return chosen


def _lower_bound(scores: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """A threshold that at least `width` scores of a row reach (if it has that many) and few others: float32[n].

    It is the width-th highest of the maxima of many disjoint groups of columns. The columns of a group lie far apart,
    so that the best items of a catalogue sorted by popularity do not fall into one group.
    """
    n, m = scores.shape
    groups = max(4 * width, -(-m // ROUNDS))
    if m < 2 * groups:
        return np.full(n, LOWEST)
    best = scores[:, :groups].copy()
    for start in range(groups, m - groups + 1, groups):
        np.fmax(best, scores[:, start : start + groups], out=best)
    best[np.isnan(best)] = -np.inf
    best.partition(groups - width, axis=1)
    return np.maximum(best[:, groups - width], LOWEST)


def _exactly(scores: NDArray[np.float32], width: int) -> NDArray[np.bool_]:
    """The `width` best of each row, ties to the lowest column."""
    scores = np.where(np.isnan(scores), -np.inf, scores)
    edge = np.partition(scores, scores.shape[1] - width, axis=1)[:, -width, None]
    above = scores > edge
    level = (scores == edge) & (edge > -np.inf)
    wanted = width - np.count_nonzero(above, axis=1)[:, None]
    return above | (level & (np.cumsum(level, axis=1, dtype=np.int32) <= wanted))


def _place(
    scores: NDArray[np.float32],
    rows: NDArray[np.int64],
    chosen: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
) -> None:
    """Sort the contenders and write the best of each row into `columns` and `values`.

    Contenders are the entries (rows, chosen) of `scores`, in the order of their rows and columns.
    """
    found = scores[rows, chosen]
    order = np.lexsort((-found, rows))  # stable: equal scores stay in the order of their columns
    counts = np.bincount(rows, minlength=len(scores))
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = rank < columns.shape[1]
    order, rank, row = order[kept], rank[kept], rows[kept]
    columns[row, rank], values[row, rank] = chosen[order], found[order]
