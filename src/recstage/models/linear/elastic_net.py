"""Elastic nets of many targets, each over candidates of its own, by scikit-learn's coordinate descent.

Friedman, Hastie and Tibshirani, "Regularization Paths for Generalized Linear Models via Coordinate Descent" (2010): for
each target j, over the columns C of its candidates, the minimum of

    1/2 |x_j - X_C w|^2 + l2/2 |w|^2 + l1 |w|_1

The descent needs X_C'X_C, X_C'x_j and |x_j| only, not the rows. Targets are worked on in threads.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from tqdm import tqdm

DENSE_ITEMS = 6_000
"""Up to so many items the products of all columns are made once, in at most 144 MB."""
TARGETS_AT_ONCE = 128

Products = Callable[[NDArray[np.int32]], NDArray[np.float32]]
"""Products of the given columns with each other: int32[m] to float32[m, m]."""


def weights(
    rows: sparse.csr_matrix,
    candidates: NDArray[np.int32],
    *,
    l1: float,
    l2: float,
    positive: bool,
    max_sweeps: int,
    tolerance: float,
) -> NDArray[np.float32]:
    """Weights of each target's candidates: float32[n, k]. `rows` csr float32[n_users, n]; `candidates` int32[n, k] are
    the columns that may speak for each column (-1: no more), itself not among them."""
    products = _products(rows)
    out = np.zeros(candidates.shape, np.float32)

    def solve(targets: range) -> None:
        for target in targets:
            columns = candidates[target][candidates[target] >= 0]  # they come first
            if len(columns):
                gram = products(np.append(columns, np.int32(target)))
                out[target, : len(columns)] = _minimum(gram, l1, l2, positive, max_sweeps, tolerance)

    parts = [range(i, min(len(out), i + TARGETS_AT_ONCE)) for i in range(0, len(out), TARGETS_AT_ONCE)]
    with warnings.catch_warnings(), ThreadPoolExecutor(_threads()) as pool:
        warnings.filterwarnings("ignore", message="Objective did not converge")  # `max_sweeps` says how long
        for _ in tqdm(pool.map(solve, parts), total=len(parts), desc="SLIM", disable=None, delay=2, leave=False):
            pass
    return out


def bytes_needed(n_items: int, candidates: int) -> int:
    """Memory of the products under work."""
    return 4 * (n_items**2 if n_items <= DENSE_ITEMS else 0) + 16 * _threads() * candidates**2


def _threads() -> int:
    return max(1, int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))


def _products(rows: sparse.csr_matrix) -> Products:
    if rows.shape[1] <= DENSE_ITEMS:
        everything = (rows.T @ rows).toarray()
        return lambda columns: everything[np.ix_(columns, columns)]
    by_column = rows.tocsc()

    def product(columns: NDArray[np.int32]) -> NDArray[np.float32]:
        some = by_column[:, columns]
        return (some.T @ some).toarray()

    return product


def _minimum(
    products: NDArray[np.float32], l1: float, l2: float, positive: bool, max_sweeps: int, tolerance: float
) -> NDArray[np.float32]:
    """The weights that tell the last column by the others: float32[m - 1], from the products float32[m, m]."""
    from sklearn.linear_model import enet_path  # serving never fits, and shall not load it

    gram = np.ascontiguousarray(products[:-1, :-1], dtype=np.float64)
    right = products[:-1, -1].astype(np.float64)
    length = np.sqrt(products[-1:, -1], dtype=np.float64)
    # Of X only the shape is used where its products are given: with one row, the penalties are not scaled.
    _, found, _ = enet_path(
        np.zeros((1, len(gram)), order="F"),
        length,
        l1_ratio=l1 / (l1 + l2),
        alphas=[l1 + l2],
        precompute=gram,
        Xy=right,
        positive=positive,
        max_iter=max_sweeps,
        tol=tolerance,
        check_input=False,
    )
    return found[:, 0].astype(np.float32)
