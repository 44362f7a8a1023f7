"""Top-k of scores, equal everywhere: highest score first, ties to the lowest index, -inf never chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def top_k(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Columns and values of the k highest scores of each row: int32[n, k], float32[n, k].

    Ties go to the lowest column. Rows with fewer than k scores above -inf are padded with column -1 and score -inf.
    """
    n, m = scores.shape
    width = min(k, m)
    if width == m:
        columns = np.broadcast_to(np.arange(m), (n, m))
    else:
        columns = np.argpartition(scores, m - width, axis=1)[:, m - width :]
        edge = np.take_along_axis(scores, columns, axis=1).min(axis=1)
        # argpartition picks among equals as it likes: where the edge is shared, choose the lowest columns instead
        shared = np.flatnonzero((scores >= edge[:, None]).sum(axis=1) > width)
        for row in shared[np.isfinite(edge[shared])]:
            above = np.flatnonzero(scores[row] > edge[row])
            level = np.flatnonzero(scores[row] == edge[row])
            columns[row] = np.concatenate([above, level[: width - len(above)]])
    columns = np.sort(columns, axis=1)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    columns, values = np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)
    out_columns = np.full((n, k), -1, dtype=np.int32)
    out_values = np.full((n, k), -np.inf, dtype=np.float32)
    out_columns[:, :width] = np.where(np.isneginf(values), -1, columns)
    out_values[:, :width] = values
    return out_columns, out_values
