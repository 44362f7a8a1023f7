"""Maximal marginal relevance: a list that is relevant and diverse, from any model's candidates.

`vectors_of` gives the vectors by which two items are alike; the diversity that the evaluation reports is measured by
the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions
from recstage.errors import ConfigError, DataError
from recstage.models.base import Recommender

CATEGORIES, ITEM_VECTORS, CO_OCCURRENCE = "categories", "item vectors", "co-occurrence"
SKETCH = 256  # dimensions for the users who know an item
FLOATS_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """`vectors` float32[n_items, d], rows of length one, or all zero where nothing is known of the item; the cosine
    of two is their similarity. `source` names what they come from: categories, item vectors, or co-occurrence."""

    source: str
    vectors: NDArray[np.float32]


def mmr(
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
    vectors: NDArray[np.float32],
    k: int,
    lambda_: float = 0.7,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Choose k of each row's candidates, one after the other, each the one with the greatest

        lambda * relevance - (1 - lambda) * closeness,

    the relevance being the score, min-max normalised over the row's candidates, and the closeness the greatest cosine
    with an item already chosen (Carbonell and Goldstein 1998). `items` int32[n, c] and `scores` float32[n, c] are
    best first, padded with -1, as `Recommender.rank` gives them; `vectors` are `ItemVectors.vectors`. Returns the
    chosen items and their scores as they were: int32[n, k], float32[n, k], padded with -1 and -inf.

    lambda 1 is the order of the candidates, 0 the most varied list that begins with the best. An item without a
    vector is taken to be as close as the row's candidates are on average: unknown is not the same as different.

    Raises `ConfigError` on a lambda outside 0 to 1 and `DataError` on k < 1.
    """
    _check(k, lambda_)
    picked = np.full((len(items), k), -1, np.int64)
    for rows in _blocks(items, vectors):
        ours, known = _gathered(items[rows], vectors)
        relevance = _relevance(scores[rows], items[rows] >= 0)
        _pick(picked[rows], items[rows], relevance, lambda_, partial(_cosines_with, ours, known))
    return _taken(items, picked, -1), _taken(scores, picked, -np.inf)


def mmr_grid(
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
    vectors: NDArray[np.float32],
    k: int,
    lambdas: Sequence[float],
) -> NDArray[np.int32]:
    """The items that `mmr` chooses for each of several lambdas: int32[len(lambdas), n, k]. The cosines of a row's
    candidates are formed once for all."""
    for lambda_ in lambdas:
        _check(k, lambda_)
    picked = np.full((len(lambdas), len(items), k), -1, np.int64)
    for rows in _blocks(items, vectors):
        ours, known = _gathered(items[rows], vectors)
        cosines = _with_mean(np.matmul(ours, ours.transpose(0, 2, 1)), known[:, None, :])
        relevance = _relevance(scores[rows], items[rows] >= 0)
        for grid, lambda_ in zip(picked, lambdas, strict=True):
            _pick(grid[rows], items[rows], relevance, lambda_, partial(_row_of, cosines))
    return np.stack([_taken(items, grid, -1) for grid in picked])


def _check(k: int, lambda_: float) -> None:
    if not 0 <= lambda_ <= 1:
        raise ConfigError(
            f"lambda = {lambda_}", rule="MMR's lambda is between 0 (varied) and 1 (relevant)", fix="Try 0.7"
        )
    if k < 1:
        raise DataError(f"k={k}", rule="a list has at least one item", fix="Ask for k >= 1")


def _blocks(items: NDArray[np.int32], vectors: NDArray[np.float32]) -> Iterator[slice]:
    n, c = items.shape
    step = max(1, FLOATS_AT_ONCE // max(1, c * max(c, vectors.shape[1])))
    for start in range(0, n, step):
        yield slice(start, start + step)


def _gathered(items: NDArray[np.int32], vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Vectors of the candidates, float32[n, c, d], and which of them have one, bool[n, c]."""
    ours = vectors[np.maximum(items, 0)]
    return ours, (ours != 0).any(axis=2) & (items >= 0)


def _pick(
    picked: NDArray[np.int64],
    items: NDArray[np.int32],
    relevance: NDArray[np.float32],
    lambda_: float,
    cosines_with: Callable[[NDArray[np.int64]], NDArray[np.float32]],
) -> None:
    """Fill `picked` (-1 everywhere) with the positions of the chosen candidates, in their order. `cosines_with` gives
    each candidate's cosine with the one at a position, one position a row."""
    row = np.arange(len(items))
    worth = np.where(items >= 0, np.float32(lambda_) * relevance, np.float32(-np.inf))
    closest = np.full(items.shape, -np.inf, np.float32)
    value = worth
    for rank in range(min(picked.shape[1], items.shape[1])):
        best = value.argmax(axis=1)
        left = worth[row, best] > -np.inf
        picked[left, rank] = best[left]
        worth[row, best] = -np.inf
        np.maximum(closest, cosines_with(best), out=closest)
        value = worth - np.float32(1 - lambda_) * closest


def _cosines_with(ours: NDArray[np.float32], known: NDArray[np.bool_], best: NDArray[np.int64]) -> NDArray[np.float32]:
    last = ours[np.arange(len(ours)), best]
    return _with_mean(np.matmul(ours, last[:, :, None])[:, :, 0], known)


def _row_of(cosines: NDArray[np.float32], best: NDArray[np.int64]) -> NDArray[np.float32]:
    return cosines[np.arange(len(cosines)), best]


def _with_mean(cosines: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Where a candidate (last axis) has no vector, the mean of those that have."""
    if known.all():
        return cosines
    mean = cosines.sum(axis=-1, keepdims=True) / np.maximum(known.sum(axis=-1, keepdims=True), 1)
    return np.where(known, cosines, mean.astype(np.float32))


def _taken(values: NDArray, picked: NDArray[np.int64], nothing: float) -> NDArray:
    return np.where(picked >= 0, np.take_along_axis(values, np.maximum(picked, 0), axis=1), values.dtype.type(nothing))


def _relevance(scores: NDArray[np.float32], real: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scores of each row brought to 0 ... 1; all 0 where they are all alike."""
    low = np.where(real, scores, np.inf).min(axis=1, keepdims=True)
    high = np.where(real, scores, -np.inf).max(axis=1, keepdims=True)
    spread = np.where(high > low, high - low, 1)
    return np.where(real, (scores - np.where(real.any(axis=1, keepdims=True), low, 0)) / spread, 0).astype(np.float32)


# -- by what items are alike ------------------------------------------------------------------------------------------


def source_of(model: Recommender, catalogue: Catalogue | None = None) -> str:
    """The source of item similarity: the categories of the catalogue (the model's own by default) where it has any,
    else the model's item vectors, else who interacted with what in training."""
    catalogue = model.catalogue_ if catalogue is None else catalogue
    if catalogue.category_names:
        return CATEGORIES
    return CO_OCCURRENCE if model.item_vectors() is None else ITEM_VECTORS


def vectors_of(model: Recommender, catalogue: Catalogue | None = None) -> ItemVectors:
    """The vectors of `source_of`, for re-ranking: compute them once a model.

    Those of co-occurrence are sketches: a random vector of 256 signs a user, summed over the users of an item, whose
    cosine is that of the item's column in the binary user-item matrix up to about 1/16 (Achlioptas 2003).
    """
    catalogue = model.catalogue_ if catalogue is None else catalogue
    source = source_of(model, catalogue)
    if source == CATEGORIES:
        return ItemVectors(source, unit_rows(catalogue.category_matrix.toarray()))
    if source == ITEM_VECTORS:
        return ItemVectors(source, unit_rows(np.asarray(model.item_vectors())))
    return ItemVectors(source, unit_rows(_sketches(model.train_)))


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row divided by its length; rows of zeros stay."""
    vectors = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def _sketches(train: Interactions) -> NDArray[np.float32]:
    signs = np.random.default_rng(0).integers(0, 2, size=(train.n_users, SKETCH), dtype=np.int8) * 2 - 1
    liked = train.matrix.astype(bool).astype(np.float32)
    return liked.T @ signs.astype(np.float32)
