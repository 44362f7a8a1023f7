"""Exact vectors of users or items from what they chose, the vectors of the other side fixed: one row of ALS's normal
equations each (Hu, Koren and Volinsky 2008)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg.lapack import sposv


class FixedSide:
    """The vectors of one side, float32[n, factors]. `mean_confidence` is the average total confidence of the other
    side's rows, by which `regularization` grows with a row's to the power `frequency_scaling`."""

    def __init__(
        self,
        factors: NDArray[np.float32],
        regularization: float,
        frequency_scaling: float,
        mean_confidence: float,
    ) -> None:
        self._factors, self._regularization = factors, regularization
        self._frequency_scaling, self._mean_confidence = frequency_scaling, mean_confidence
        self._gram = factors.T @ factors  # what all items with a confidence of 1 add to every row's equations

    def solve(self, extra: sparse.csr_matrix) -> NDArray[np.float32]:
        """Vectors of the rows of `extra` (beyond a confidence of 1): float32[n, factors]."""
        out = np.empty((extra.shape[0], self._factors.shape[1]), np.float32)
        for row in range(len(out)):
            entries = slice(extra.indptr[row], extra.indptr[row + 1])
            out[row] = _solved(*self.equations(extra.indices[entries], extra.data[entries]))
        return out

    def equations(
        self, known: NDArray[np.int32], extra: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both sides of one row's normal equations: float32[factors, factors], float32[factors]."""
        vectors = self._factors[known]
        left = np.asarray(self._gram + (vectors.T * extra) @ vectors, np.float32)
        scale = ((len(self._factors) + float(extra.sum())) / self._mean_confidence) ** self._frequency_scaling
        left.flat[:: len(left) + 1] += np.float32(self._regularization * scale)
        return left, vectors.T @ (1 + extra)


def _solved(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """The solution of symmetric equations, by Cholesky: 0.06 ms for 128 factors, 0.12 ms by `np.linalg.solve`."""
    _, solution, failed = sposv(left, right)
    return np.linalg.solve(left, right) if failed else solution
