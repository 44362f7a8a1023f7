"""Weighting of sparse rows by TF-IDF or BM25, fitted to training rows and applied to any, and unit length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Kind = Literal["none", "tfidf", "bm25"]


@dataclass(frozen=True)
class Weighting:
    """Rows are documents, columns terms: `idf` float64[columns] is each term's inverse document frequency.

    BM25 follows Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with the
    frequency that is never negative.
    """

    kind: Kind
    k1: float
    b: float
    idf: NDArray[np.float64]
    mean_length: float

    @classmethod
    def of(cls, rows: sparse.csr_matrix, kind: Kind, *, k1: float = 1.2, b: float = 0.75) -> Weighting:
        """Fitted to training rows."""
        n, documents = rows.shape[0], np.bincount(rows.indices, minlength=rows.shape[1])
        idf = (
            np.log1p((n - documents + 0.5) / (documents + 0.5))
            if kind == "bm25"
            else np.log((n + 1) / (documents + 1)) + 1
        )
        return cls(kind, k1, b, idf, max(float(rows.sum()) / max(n, 1), 1e-12))

    def __call__(self, rows: sparse.csr_matrix) -> sparse.csr_matrix:
        """The rows weighted: float32, of the same pattern."""
        if self.kind == "none":
            return rows
        data = rows.data.astype(np.float64)
        if self.kind == "tfidf":
            data = np.sqrt(data)
        else:
            length = np.asarray(rows.sum(axis=1), np.float64).ravel() / self.mean_length
            data *= (self.k1 + 1) / (self.k1 * np.repeat(1 - self.b + self.b * length, np.diff(rows.indptr)) + data)
        data *= self.idf[rows.indices]
        return sparse.csr_matrix((data.astype(np.float32), rows.indices, rows.indptr), shape=rows.shape)


def unit(rows: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows scaled to length 1; empty ones stay empty."""
    length = np.repeat(np.maximum(lengths(rows), 1e-12), np.diff(rows.indptr))
    return sparse.csr_matrix((rows.data / length.astype(np.float32), rows.indices, rows.indptr), shape=rows.shape)


def lengths(rows: sparse.csr_matrix) -> NDArray[np.float64]:
    """Euclidean length of each row."""
    return np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1), np.float64).ravel())
