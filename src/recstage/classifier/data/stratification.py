"""Iterative stratification: a split of multi-label samples that keeps the share of every label.

Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def stratified_parts(labels: NDArray[np.bool_], shares: Sequence[float], seed: int) -> NDArray[np.int64]:
    """The part of each sample: int64[n] below `len(shares)`.

    `labels` bool[n, classes]; `shares` add up to 1. The rarest label that is left is dealt out first, each sample to
    the part that lacks most of that label, ties to the one that lacks most samples, then by chance.
    """
    random = np.random.default_rng(seed)
    n = len(labels)
    share = np.asarray(shares, np.float64)
    room = share * n
    wanted = share[:, None] * labels.sum(axis=0)[None, :]
    part = np.full(n, -1, np.int64)
    left = np.ones(n, bool)
    remaining = labels.sum(axis=0).astype(np.int64)
    while remaining.any():
        label = int(np.where(remaining > 0, remaining, n + 1).argmin())
        for sample in random.permutation(np.flatnonzero(left & labels[:, label])):
            chosen = _most(wanted[:, label], room, random)
            part[sample], left[sample] = chosen, False
            wanted[chosen] -= labels[sample]
            room[chosen] -= 1
            remaining -= labels[sample]
    for sample in random.permutation(np.flatnonzero(left)):
        part[sample] = _most(room, room, random)
        room[part[sample]] -= 1
    return part


def random_parts(labels: NDArray[np.bool_], shares: Sequence[float], seed: int) -> NDArray[np.int64]:
    """The part of each sample by chance alone, each part of its size: int64[n], as `stratified_parts`."""
    n = len(labels)
    limits = np.round(np.cumsum(shares) * n).astype(int)
    part = np.empty(n, np.int64)
    part[np.random.default_rng(seed).permutation(n)] = np.searchsorted(limits, np.arange(n), side="right")
    return np.minimum(part, len(shares) - 1)


def _most(first: NDArray[np.float64], second: NDArray[np.float64], random: np.random.Generator) -> int:
    best = np.flatnonzero(first >= first.max() - 1e-9)
    best = best[second[best] >= second[best].max() - 1e-9]
    return int(best[0] if len(best) == 1 else random.choice(best))
