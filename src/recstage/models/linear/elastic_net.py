"""Elastic nets of many targets, each over candidates of its own, by scikit-learn's coordinate descent.

Friedman, Hastie and Tibshirani, "Regularization Paths for Generalized Linear Models via Coordinate Descent" (2010): for
each target j, over the columns C of its candidates, the minimum of

    1/2 |x_j - X_C w|^2 + l2/2 |w|^2 + l1 |w|_1

The descent needs X_C'X_C, X_C'x_j and |x_j| only, not the rows. Targets are worked on in threads.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from tqdm import tqdm

from recstage import cluster

DENSE_ITEMS = 6_000
"""Up to so many items the products of all columns are made once, in at most 144 MB."""
TARGETS_AT_ONCE = 128

Products = Callable[[NDArray[np.int32]], NDArray[np.float32]]
"""Products of the given columns with each other: int32[m] to float32[m, m]."""


@dataclass(frozen=True)
class Penalty:
    """What a weight costs, whether it may be below zero, and how long the descent goes on."""

    l1: float
    l2: float
    positive: bool
    max_sweeps: int
    tolerance: float


@dataclass(eq=False)
class Targets:
    """All columns of `rows` csr float32[n_users, n], and `candidates` int32[n, k], the columns that may speak for each
    (-1: no more), itself not among them."""

    rows: sparse.csr_matrix
    candidates: NDArray[np.int32]
    penalty: Penalty

    @cached_property
    def products(self) -> Products:
        return _products(self.rows)

    def solved(self, targets: range) -> NDArray[np.float32]:
        """Weights of the candidates of some targets: float32[len(targets), k]."""
        out = np.zeros((len(targets), self.candidates.shape[1]), np.float32)
        for row, target in enumerate(targets):
            columns = self.candidates[target][self.candidates[target] >= 0]  # they come first
            if len(columns):
                gram = self.products(np.append(columns, np.int32(target)))
                out[row, : len(columns)] = _minimum(gram, self.penalty)
        return out


def weights(targets: Targets, backend: str = "local") -> NDArray[np.float32]:
    """Weights of each target's candidates: float32[n, k]; in threads here, or, with `backend` ray, on the cluster."""
    n, out = len(targets.candidates), np.empty(targets.candidates.shape, np.float32)
    parts = [range(at, min(n, at + TARGETS_AT_ONCE)) for at in range(0, n, TARGETS_AT_ONCE)]
    with ExitStack() as inside:
        if backend == "ray":
            inside.enter_context(cluster.session())
            found = cluster.in_order(_solved_there, targets, parts)
        else:
            _ = targets.products  # once, not by each thread
            inside.enter_context(_quietly())
            found = inside.enter_context(ThreadPoolExecutor(_threads())).map(targets.solved, parts)
        shown = tqdm(found, total=len(parts), desc="SLIM", disable=None, delay=2, leave=False)
        for part, solved in zip(parts, shown, strict=True):
            out[part.start : part.stop] = solved
    return out


def _solved_there(targets: Targets, part: range, report: cluster.Report) -> NDArray[np.float32]:
    with _quietly():
        return targets.solved(part)


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Objective did not converge")  # `max_sweeps` says how long
        yield


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


def _minimum(products: NDArray[np.float32], penalty: Penalty) -> NDArray[np.float32]:
    """The weights that tell the last column by the others: float32[m - 1], from the products float32[m, m]."""
    from sklearn.linear_model import enet_path  # serving never fits, and shall not load it

    gram = np.ascontiguousarray(products[:-1, :-1], dtype=np.float64)
    right = products[:-1, -1].astype(np.float64)
    length = np.sqrt(products[-1:, -1], dtype=np.float64)
    # Of X only the shape is used where its products are given: with one row, the penalties are not scaled.
    _, found, _ = enet_path(
        np.zeros((1, len(gram)), order="F"),
        length,
        l1_ratio=penalty.l1 / (penalty.l1 + penalty.l2),
        alphas=[penalty.l1 + penalty.l2],
        precompute=gram,
        Xy=right,
        positive=penalty.positive,
        max_iter=penalty.max_sweeps,
        tol=penalty.tolerance,
        check_input=False,
    )
    return found[:, 0].astype(np.float32)
