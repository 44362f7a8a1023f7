"""Top-k of scores, equal everywhere: highest score first, ties to the lowest index; -inf and NaN are never chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
    step = max(1, TILE // max(1, m))
    for start in range(0, n if min(k, m) else 0, step):
        tile = slice(start, start + step)
        rows, chosen = np.divmod(np.flatnonzero(_contenders(scores[tile], min(k, m))), m)
        _place(scores[tile], rows, chosen, columns[tile], values[tile])
    return columns, values


def _contenders(scores: NDArray[np.float32], width: int) -> NDArray[np.bool_]:
    """A few scores of each row, its `width` best among them: bool[n, m]."""
    chosen = scores >= _lower_bound(scores, width)[:, None]
    crowded = np.flatnonzero(np.count_nonzero(chosen, axis=1) > 8 * width + 64)
    if len(crowded):  # many equals, or a row with little above -inf
        chosen[crowded] = _exactly(scores[crowded], width)
    return chosen


def _lower_bound(scores: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """A value that at least `width` scores of a row reach, where it has as many, and that few more do: float32[n].

    It is the width-th highest of the maxima of many disjoint groups of columns. A group is made of columns far apart,
    so that a catalogue sorted by popularity does not put its best into one.
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
    """Sort the contenders (entries (rows, chosen), in the order of their rows and columns) and write the best of each
    row into `columns` and `values`."""
    found = scores[rows, chosen]
    order = np.lexsort((-found, rows))  # stable: equals stay in the order of their columns
    counts = np.bincount(rows, minlength=len(scores))
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = rank < columns.shape[1]
    order, rank, row = order[kept], rank[kept], rows[kept]
    columns[row, rank], values[row, rank] = chosen[order], found[order]
