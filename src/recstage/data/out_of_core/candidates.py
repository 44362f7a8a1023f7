"""Candidates of the sampled protocol for users in blocks: the same draws as for all of them at once.

`NegativeSampler.sample_distinct` draws in rounds: all users first, then those who lack some. So do these, block after
block from the same generator, with the items of one block's users in memory.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.negatives import NegativeSampler, has_few

CELLS = 1 << 28
MOST_USERS = 8192


def sampled(
    path: Path,
    items: NDArray[np.int32],
    pairs_of: NDArray[np.int64],
    with_events: NDArray[np.int64],
    asked: NDArray[np.int64],
    n: int,
    seed: int,
) -> NDArray[np.int32]:
    """`n` different items that each of the `asked` users never touched, of those `with_events`: int32[n_users, n],
    padded with -1, mapped from a new .npy at `path`. `items`: those of every user's pairs, user after user."""
    out = np.lib.format.open_memmap(path, "w+", np.int32, (len(pairs_of), n))
    step = 1 + (1 << 22) // max(n, 1)
    for start in range(0, len(out), step):
        out[start : start + step] = -1
    ends = np.cumsum(pairs_of)
    place = np.full(int(items.max(initial=-1)) + 1, -1, np.int32)
    place[with_events] = np.arange(len(with_events), dtype=np.int32)
    rng = np.random.default_rng(seed)

    def sampler(users: NDArray[np.int64]) -> NegativeSampler:
        spans = [items[ends[user] - pairs_of[user] : ends[user]] for user in users]
        indptr = np.concatenate([[0], np.cumsum(pairs_of[users])])
        known = place[np.concatenate(spans)] if spans else np.empty(0, np.int32)
        shape = (len(users), len(with_events))
        return NegativeSampler(sparse.csr_matrix((np.ones(len(known), bool), known, indptr), shape=shape))

    size = max(1, min(MOST_USERS, CELLS // max(1, len(with_events))))
    few = has_few(len(with_events) - pairs_of[asked], n)
    for user in asked[few]:  # drawing blindly would take long: shuffle what there is
        drawn = rng.permutation(sampler(np.array([user])).unseen(0))[:n]
        out[user, : len(drawn)] = drawn
    left = asked[~few]
    while len(left):
        again = []
        for start in range(0, len(left), size):
            users = left[start : start + size]
            rows = sampler(users).filled(np.arange(len(users)), out[users], rng)
            out[users] = rows
            again.append(users[(rows < 0).any(axis=1)])
        left = np.concatenate(again)
    for start in range(0, len(asked), step):
        users = asked[start : start + step]
        rows = out[users]
        out[users] = np.where(rows < 0, -1, with_events[rows])
    out.flush()
    return out
