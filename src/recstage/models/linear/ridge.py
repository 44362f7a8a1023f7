"""P = (R'R + diag(penalty))^-1, the inverse that closed-form linear models stand on, by the cheaper of two ways.

R has a row for each user (sparse) and for each feature of the items (dense). Where it has more rows than columns, the
item-item matrix is inverted (`primal`); where it has fewer, the row-row matrix, by the identity of Woodbury (`dual`):

    P = L - L R' (I + R L R')^-1 R L,    L = diag(1 / penalty)

Both are exact. A dual inverse takes rows**3 operations and never holds the item-item matrix: its columns come in
blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg.lapack import spotrf, spotri, spotrs

from recstage import cluster
from recstage.errors import ConfigError
from recstage.models.linear.memory import FLOAT

BLOCK = 512
"""Columns of the inverse that are held at once."""
SPARSE_COST = 200
"""How much longer a sparse multiplication takes than one of a dense product."""


@dataclass(frozen=True, eq=False)
class Rows:
    """`users` csr float32[n_users, n_items]; `features` float32[n_features, n_items], of which there may be none."""

    users: sparse.csr_matrix
    features: NDArray[np.float32]

    @property
    def n_items(self) -> int:
        return self.users.shape[1]

    @property
    def n(self) -> int:
        return self.users.shape[0] + len(self.features)

    @property
    def is_dual(self) -> bool:
        """Whether the row-row matrix is the smaller one."""
        return self.n < self.n_items

    @property
    def bytes_needed(self) -> int:
        """Greatest memory of `inverse_columns`."""
        if self.is_dual:
            return FLOAT * (2 * self.n**2 + 2 * (self.n + self.n_items) * BLOCK)
        return FLOAT * (self.n_items**2 + self.n_items * BLOCK)

    @property
    def squares(self) -> NDArray[np.float32]:
        """Diagonal of R'R: float32[n_items]."""
        users = np.asarray(self.users.multiply(self.users).sum(axis=0), np.float64).ravel()
        return (users + np.square(self.features, dtype=np.float64).sum(axis=0)).astype(np.float32)


def inverse_columns(
    rows: Rows, penalty: NDArray[np.float32], backend: str = "local"
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """All columns of P in blocks: which, and float32[n_items, width]. `penalty` float32[n_items] is above zero. With
    `backend` ray blocks of the inverse are found on the cluster, equal but for rounding. Raises `ConfigError` where the
    penalty is too small for single precision."""
    return _dual(rows, penalty, backend) if rows.is_dual else _primal(rows, penalty, backend)


def _primal(rows: Rows, penalty: NDArray[np.float32], backend: str) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    matrix = _gram(rows.users)
    if len(rows.features):
        matrix += rows.features.T @ rows.features
    matrix.flat[:: len(matrix) + 1] += penalty
    inverse = _inverted(
        matrix.T, backend
    )  # symmetric: the transpose of a C-ordered matrix is the same one in LAPACK's order
    for columns in _blocks(rows.n_items):
        yield columns, inverse[:, columns]


def _dual(rows: Rows, penalty: NDArray[np.float32], backend: str) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    scale = (1 / penalty).astype(np.float32)
    users = sparse.csc_matrix(rows.users.multiply(scale), dtype=np.float32)
    features = rows.features * scale
    n_users = users.shape[0]
    matrix = np.empty((rows.n, rows.n), np.float32)
    matrix[:n_users, :n_users] = (users @ rows.users.T).toarray()
    if len(features):
        matrix[:n_users, n_users:] = users @ rows.features.T
        matrix[n_users:, :n_users] = matrix[:n_users, n_users:].T
        matrix[n_users:, n_users:] = features @ rows.features.T
    matrix.flat[:: len(matrix) + 1] += 1
    inner = np.ascontiguousarray(_inverted(matrix.T, backend).T)
    transposed = users.T.tocsr()
    for columns in _blocks(rows.n_items):
        # (I + R L R')^-1 R L of these columns, then what it takes away from L
        solved = np.ascontiguousarray((users[:, columns].T @ inner[:n_users]).T)
        if len(features):
            solved += inner[:, n_users:] @ features[:, columns]
        block = -np.asarray(transposed @ solved[:n_users])
        if len(features):
            block -= features.T @ solved[n_users:]
        own = np.arange(columns.start, columns.stop)
        block[own, own - columns.start] += scale[own]
        yield columns, block


def _gram(users: sparse.csr_matrix) -> NDArray[np.float32]:
    """R'R of sparse rows, by a dense product where rows are full."""
    n_users, n_items = users.shape
    if SPARSE_COST * float(np.square(np.diff(users.indptr), dtype=np.float64).sum()) < n_users * float(n_items) ** 2:
        return (users.T @ users).toarray()
    out = np.zeros((n_items, n_items), np.float32)
    for start in range(0, n_users, 4 * BLOCK):
        part = users[start : start + 4 * BLOCK].toarray()
        out += part.T @ part
    return out


def _inverted(matrix: NDArray[np.float32], backend: str) -> NDArray[np.float32]:
    """Inverse of a symmetric positive definite matrix in Fortran order, in place."""
    factor, failed = spotrf(matrix, lower=1, overwrite_a=1, clean=0)
    inverse = factor
    if not failed and backend == "ray":
        inverse = _inverse_on_cluster(factor)
    elif not failed:
        inverse, failed = spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise ConfigError(
            f"a matrix of {len(matrix):,} rows",
            rule="it cannot be inverted in single precision with so small an l2",
            fix="Raise l2",
        )
    for rows in _blocks(len(inverse)):  # only the lower triangle is written
        inverse[: rows.start, rows] = inverse[rows, : rows.start].T
        corner = np.tril(inverse[rows, rows])
        inverse[rows, rows] = corner + np.tril(corner, -1).T
    return inverse


def _inverse_on_cluster(factor: NDArray[np.float32]) -> NDArray[np.float32]:
    """The lower triangle of the inverse by its Cholesky factor, by blocks of columns on the cluster."""
    inverse, blocks = np.empty_like(factor), _blocks(len(factor))
    with cluster.session():
        for columns, found in zip(blocks, cluster.in_order(_trailing, factor, blocks), strict=True):
            inverse[columns.start :, columns] = found
    return inverse


def _trailing(factor: NDArray[np.float32], columns: slice, report: cluster.Report) -> NDArray[np.float32]:
    """These columns of the inverse, from their diagonal down: the trailing part of the factor is all that they need."""
    below = np.asfortranarray(factor[columns.start :, columns.start :])
    identity = np.eye(len(below), columns.stop - columns.start, dtype=np.float32, order="F")
    found, failed = spotrs(below, identity, lower=1, overwrite_b=1)
    assert not failed
    return found


def _blocks(n: int) -> list[slice]:
    return [slice(start, min(n, start + BLOCK)) for start in range(0, n, BLOCK)]
