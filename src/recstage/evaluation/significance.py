"""How sure a number is: bootstrap over users.

A resample draws as many users as there are, with replacement. Its mean is a product of the users' multiplicities with
their values, so that all resamples of all metrics are a few matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recstage.errors import DataError

DRAWS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Paired:
    """The mean difference a - b over the same users, its interval, and the two-sided p-value of no difference."""

    difference: float
    low: float
    high: float
    p_value: float


def bootstrap_interval(
    values: ArrayLike, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean of `values` (one a user; NaN: the user has none). Efron and Tibshirani 1993,
    ch. 13.

    Raises `DataError` where there is no value.
    """
    column = _values(values)[:, None]
    means = resampled_means(column, np.zeros(len(column), int), 1, resamples=resamples, seed=seed)[0]
    return interval_of(means[:, 0], confidence)


def paired_bootstrap(
    a: ArrayLike, b: ArrayLike, *, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> Paired:
    """Whether two models differ on the same users: `a[i]` and `b[i]` are the same user's values.

    The p-value is the share of resamples whose mean difference, shifted to zero mean, is at least as far from zero as
    the observed one (one added above and below: never 0). Efron and Tibshirani 1993, ch. 16; Davison and Hinkley
    1997, ch. 4. Users where either value is NaN are left out. Raises `DataError` on lengths that differ and where
    no user is left.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape:
        raise DataError(
            f"{first.size} and {second.size} values", rule="a paired test needs the same users", fix="Align by user_id"
        )
    gains = _values(first - second)
    means = resampled_means(gains[:, None], np.zeros(len(gains), int), 1, resamples=resamples, seed=seed)[0][:, 0]
    observed = float(gains.mean())
    # a resample of equal gains must count as equal, whatever the rounding of its mean
    rounding = 1e-12 * max(1.0, float(np.abs(gains).max()))
    beyond = int((np.abs(means - observed) >= abs(observed) - rounding).sum())
    low, high = interval_of(means, confidence)
    return Paired(observed, low, high, (1 + beyond) / (1 + resamples))


def resampled_means(
    values: NDArray[np.float64], group: NDArray[np.int64], n_groups: int, *, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Means of bootstrap resamples within groups of users: float64[n_groups + 1, resamples, m], the last for all users.

    `values` float64[n, m] (NaN: left out of its mean), `group` int[n] below `n_groups`. The users are drawn from all
    groups together; the mean of a group that a resample does not meet is NaN.
    """
    n, m = values.shape
    present = np.isfinite(values)
    columns = np.concatenate([np.where(present, values, 0.0), present], axis=1)
    members = [np.flatnonzero(group == g) for g in range(n_groups)]
    sums = np.empty((n_groups + 1, resamples, 2 * m))
    done = 0
    for drawn in _multiplicities(n, resamples, np.random.default_rng(seed)):
        for g, rows in enumerate(members):
            sums[g, done : done + len(drawn)] = drawn[:, rows] @ columns[rows]
        done += len(drawn)
    sums[-1] = sums[:-1].sum(axis=0)
    with np.errstate(invalid="ignore"):
        return sums[..., :m] / sums[..., m:]


def interval_of(means: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """The central share `confidence` of resampled means; (NaN, NaN) where there is none."""
    kept = means[np.isfinite(means)]
    if not len(kept):
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _multiplicities(n: int, resamples: int, random: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """How often each of n users is drawn, a block of resamples at a time: float64[block, n]."""
    step = max(1, DRAWS_AT_ONCE // max(1, n))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = random.integers(0, n, size=(size, n)) + np.arange(size)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _values(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64).ravel()
    array = array[np.isfinite(array)]
    if not len(array):
        raise DataError(
            "no values", rule="a bootstrap needs at least one user's value", fix="Evaluate some users first"
        )
    return array
