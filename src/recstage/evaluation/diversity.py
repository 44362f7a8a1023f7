"""Intra-list diversity: one minus the mean cosine of the pairs of a list (Smyth and McClave 2001; Ziegler et al. 2005).

Items of which nothing is known (no category, no user who liked them) are left out of the pairs, not taken as unlike
all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions
from recstage.models.base import Recommender
from recstage.rerank import CO_OCCURRENCE, source_of, vectors_of

FLOATS_AT_ONCE = 1 << 22
WORDS_AT_ONCE = 1 << 17
MOST_USERS = 32_768  # whose co-occurrences are counted; a seeded sample of them beyond


def diversity_of(
    lists: NDArray[np.int32], cutoffs: Sequence[int], model: Recommender, catalogue: Catalogue | None = None
) -> tuple[NDArray[np.float64], str]:
    """Diversity of each list at each cutoff, float64[n, len(cutoffs)] (NaN: no pair), and the name of the
    vectors it was measured by (`rerank.vectors_of`). Co-occurrence is counted exactly here, not sketched."""
    source = source_of(model, catalogue)
    if source == CO_OCCURRENCE:
        return co_occurrence_diversity(lists, cutoffs, model.train_), source
    return vector_diversity(lists, cutoffs, vectors_of(model, catalogue).vectors), source


def vector_diversity(
    lists: NDArray[np.int32], cutoffs: Sequence[int], vectors: NDArray[np.float32]
) -> NDArray[np.float64]:
    """From `vectors` float32[n_items, d] with rows of length one or zero; `lists` int32[n, K], -1: no item.

    The cosines of all pairs sum to (|sum of the vectors|^2 - their number) / 2, so that no pair is ever formed.
    """
    n, d = len(lists), vectors.shape[1]
    padded = np.concatenate([vectors, np.zeros((1, d), vectors.dtype)])  # -1 finds the zeros
    known = (padded != 0).sum(axis=1) > 0
    out = np.full((n, len(cutoffs)), np.nan)
    step = max(1, FLOATS_AT_ONCE // (max(cutoffs) * d))
    for start in range(0, n, step):
        part = lists[start : start + step]
        total, count, begin = np.zeros((len(part), d)), np.zeros(len(part)), 0
        for k in sorted(set(cutoffs)):
            total += padded[part[:, begin:k]].sum(axis=1)
            count += known[part[:, begin:k]].sum(axis=1)
            begin = k
            cosines = ((total**2).sum(axis=1) - count) / 2
            out[start : start + step, [c == k for c in cutoffs]] = _one_minus_mean(cosines, count)[:, None]
    return out


def co_occurrence_diversity(
    lists: NDArray[np.int32], cutoffs: Sequence[int], train: Interactions
) -> NDArray[np.float64]:
    """From the users who liked both items: cosine of the items' columns in the binary user-item matrix, exact.

    The users of an item are the bits of a row of words; a pair costs one AND and one population count.
    """
    shown, compact = np.unique(lists, return_inverse=True)
    compact = compact.reshape(lists.shape)
    bits = _user_bits(train, shown)
    liked_by = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
    width = max(cutoffs)
    second, first = np.tril_indices(
        width, -1
    )  # ordered by the later position: the first k (k - 1) / 2 are the pairs of k
    keys, where = np.unique(compact[:, first].astype(np.int64) * len(shown) + compact[:, second], return_inverse=True)
    left, right = keys // len(shown), keys % len(shown)
    both = np.empty(len(keys), np.int64)
    step = max(1, WORDS_AT_ONCE // bits.shape[1])
    for start in range(0, len(keys), step):
        pair = slice(start, start + step)
        both[pair] = np.bitwise_count(bits[left[pair]] & bits[right[pair]]).sum(axis=1, dtype=np.int64)
    cosines = both / np.sqrt(np.maximum(liked_by[left] * liked_by[right], 1))
    upto = np.cumsum(cosines[where.reshape(len(lists), -1)], axis=1)
    count = np.cumsum(liked_by[compact] > 0, axis=1)
    columns = []
    for k in cutoffs:
        pairs = k * (k - 1) // 2
        columns.append(_one_minus_mean(upto[:, pairs - 1] if pairs else np.zeros(len(lists)), count[:, k - 1]))
    return np.stack(columns, axis=1)


def _one_minus_mean(cosines: NDArray[np.float64], count: NDArray) -> NDArray[np.float64]:
    """One minus the sum of cosines over the number of pairs of `count` items."""
    pairs = count * (count - 1) / 2
    return 1 - np.divide(cosines, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def _user_bits(train: Interactions, items: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Which users liked each of the given items (-1: none), one bit a user: uint64[len(items), words]."""
    liked = train.matrix
    if liked.shape[0] > MOST_USERS:
        liked = liked[np.sort(np.random.default_rng(0).choice(liked.shape[0], MOST_USERS, replace=False))]
    by_item = liked.astype(bool).T.tocsr()
    words = -(-by_item.shape[1] // 64)
    bits = np.zeros((len(items), words * 8), np.uint8)
    step = max(1, FLOATS_AT_ONCE // max(1, by_item.shape[1]))
    known = np.flatnonzero(items >= 0)
    for start in range(0, len(known), step):
        rows = known[start : start + step]
        dense = by_item[items[rows]].toarray()
        bits[rows, : -(-dense.shape[1] // 8)] = np.packbits(dense, axis=1)
    return bits.view(np.uint64)
