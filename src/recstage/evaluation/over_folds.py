"""How sure a mean over the folds of a cross-validation is.

The folds' training rows overlap, so their values vary less than those of new data would: the variance of the mean is
s² (1/k + test rows / training rows) of k folds, by the correction of Nadeau and Bengio, "Inference for the
Generalization Error" (2003), with Student's t of k - 1 degrees of freedom. It was derived for training rows that are
drawn anew; of rolling windows, whose later folds know the earlier ones, it is an approximation as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from recstage.errors import DataError


@dataclass(frozen=True)
class OverFolds:
    """The mean of a value over folds, its standard deviation from fold to fold, the interval of the mean, and the
    two-sided p-value of a mean of zero (of use for differences)."""

    mean: float
    std: float
    low: float
    high: float
    p_value: float


def over_folds(values: ArrayLike, test_share: float, *, confidence: float = 0.95) -> OverFolds:
    """`values` float[k], one a fold; `test_share` is the mean over folds of test rows / training rows.

    Raises `DataError` on fewer than two values.
    """
    column = np.asarray(values, np.float64).ravel()
    k = len(column)
    if k < 2:
        raise DataError(f"{k} folds", rule="a spread over folds needs two at least", fix="Give more folds")
    mean, std = float(column.mean()), float(column.std(ddof=1))
    error = std * np.sqrt(1 / k + test_share)
    half = float(stats.t.ppf((1 + confidence) / 2, k - 1) * error)
    same = error <= 1e-12 * max(1.0, abs(mean))
    p_value = float(mean == 0) if same else float(2 * stats.t.sf(abs(mean) / error, k - 1))
    return OverFolds(mean, std, mean - half, mean + half, p_value)
