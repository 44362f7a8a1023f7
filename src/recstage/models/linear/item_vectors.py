"""The main directions of a sparse matrix: by LAPACK where it is small, else by scikit-learn's randomized SVD."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

SMALL = 1 << 18
"""Cells of a matrix that is decomposed exactly, in a tenth of a second."""


def main_directions(
    matrix: sparse.csr_matrix, factors: int, seed: int, *, power_iterations: int = 4
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Right singular vectors of the greatest singular values and these values: float32[columns, k], float32[k], where
    k is `factors` or the matrix's smaller side. Halko, Martinsson and Tropp, "Finding Structure with Randomness"
    (SIAM Review 2011): the more power iterations, the nearer to the exact ones."""
    factors = min(factors, *matrix.shape)
    if matrix.shape[0] * matrix.shape[1] <= SMALL:
        _, values, vectors = linalg.svd(matrix.toarray(), full_matrices=False)
        values, vectors = values[:factors], vectors[:factors]
    else:
        from sklearn.utils.extmath import randomized_svd  # serving never fits, and shall not load it

        _, values, vectors = randomized_svd(matrix, factors, n_iter=power_iterations, random_state=seed)
    return np.ascontiguousarray(vectors.T, np.float32), values.astype(np.float32)
