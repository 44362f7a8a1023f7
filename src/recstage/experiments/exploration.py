"""Exploration with propensities that are real: slots of a list swapped with candidates drawn from a softmax.

For each slot from the first to the last, with probability `share`, the item there changes places with the candidate at
a place drawn from the softmax of the candidates' scores. Because places are drawn, not items, the arrangement after
each step is an independent random transposition, and the probability of every (item, slot) is exact: the product of the
steps' matrices. That is the propensity which off-policy estimates divide by.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TEMPERATURE = 1.0


def place_probabilities(scores: NDArray[np.float32], temperature: float = TEMPERATURE) -> NDArray[np.float64]:
    """Softmax over the candidates' scores in units of their standard deviation: float64[n], sums to 1."""
    values = np.asarray(scores, np.float64)
    values = np.where(np.isfinite(values), values, 0.0)
    spread = values.std()
    scaled = (values - values.max(initial=0.0)) / (spread * temperature) if spread > 0 else np.zeros(len(values))
    weights = np.exp(scaled)
    return weights / weights.sum()


def explore(
    scores: NDArray[np.float32], k: int, share: float, rng: np.random.Generator, temperature: float = TEMPERATURE
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which candidate (its place among them, best first) is shown in each of the first k slots, int64[k], and the
    probability with which it is shown there, float64[k].

    Args:
        scores: of the candidates, best first: float32[n].
        k: slots; fewer where there are fewer candidates.
        share: chance that a slot explores, 0 to 1.
        rng: the source of chance.
        temperature: of the softmax; the higher, the more uniform.
    """
    n = len(scores)
    k = min(k, n)
    if share <= 0 or k == 0:
        return np.arange(k), np.ones(k)
    drawn_from = place_probabilities(scores, temperature)
    order = np.arange(n)
    for slot in np.flatnonzero(rng.random(k) < share).tolist():
        other = int(rng.choice(n, p=drawn_from))
        order[[slot, other]] = order[[other, slot]]
    shown = order[:k]
    return shown, marginals(drawn_from, shown, share)


def marginals(drawn_from: NDArray[np.float64], shown: NDArray[np.int64], share: float) -> NDArray[np.float64]:
    """The probability that each shown candidate ends in its slot: float64[k].

    `at[i, p]`: probability that the i-th shown candidate is at place p, carried through the steps of all slots.
    """
    k = len(shown)
    at = np.zeros((k, len(drawn_from)))
    at[np.arange(k), shown] = 1.0
    for slot in range(k):
        here = at[:, slot].copy()
        # to the slot: it stays where the slot draws itself, and each other place sends what it holds where it is drawn
        arriving = at @ drawn_from
        leaving = at * drawn_from
        swapped = at - leaving + here[:, None] * drawn_from
        swapped[:, slot] = arriving
        at = (1 - share) * at + share * swapped
    return at[np.arange(k), np.arange(k)]
