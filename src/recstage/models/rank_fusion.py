"""Fusion of the scores of several models: each on the scale 0 to 1, so that they can be added."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OFFSET = 60
"""Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion" (SIGIR 2009)."""


def weights(n: int, first: float) -> list[float]:
    """Weights of n models, which sum to 1: `first`, then the same share of what is left, then the rest."""
    left = [(1 - first) ** place for place in range(n)]
    return [left[place] * (first if place < n - 1 else 1) for place in range(n)]


def by_rank(scores: NDArray[np.float32], unseen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """61 / (60 + rank): an item's rank counts the unseen items above it, ties in the order of the catalogue.

    `scores` and `unseen` are [n, n_items]; returns float32[n, n_items].
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    counted = np.take_along_axis(unseen, order, axis=1).astype(np.int32)
    above = np.cumsum(counted, axis=1) - counted  # seen items take no rank of their own
    fused = np.empty(scores.shape, np.float32)
    np.put_along_axis(fused, order, ((OFFSET + 1) / (OFFSET + 1 + above)).astype(np.float32), axis=1)
    return fused


def by_range(scores: NDArray[np.float32], unseen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scores scaled from 0 (the lowest of an unseen item) to 1 (the highest); all 0 if they are equal.

    `scores` and `unseen` are [n, n_items]; returns float32[n, n_items].
    """
    low = np.where(unseen, scores, np.inf).min(axis=1, keepdims=True)
    high = np.where(unseen, scores, -np.inf).max(axis=1, keepdims=True)
    width = high - low
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.where(width > 0, (scores - low) / width, 0)
    return np.clip(scaled, 0, 1).astype(np.float32)
