"""Whether one distribution has shifted against another: SciPy's distances and tests, one result a feature.

Numbers: the Wasserstein distance in units of the earlier standard deviation, and the Kolmogorov-Smirnov test. Classes:
the Jensen-Shannon distance (base 2), and the chi-squared test. With thousands of rows a test finds every difference
significant, so the verdict is by the distance: a shift is one of at least `LINE`, the convention of drift monitors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.spatial.distance import jensenshannon

LINE = 0.1
LEAST_ROWS = 200
"""Fewer rows on either side say nothing."""
BARS, MOST_BARS = 10, 15
REST = "others"
Verdict = Literal["shifted", "alike", "unknown"]


@dataclass(frozen=True)
class Bar:
    """One band or class: its share of the rows then and now."""

    label: str
    then: float
    now: float


@dataclass(frozen=True)
class Shift:
    """One feature. `measure` and `test` say what `distance` and `p_value` are; NaN where there are too few rows."""

    feature: str
    measure: str
    distance: float
    test: str
    p_value: float
    verdict: Verdict
    rows_then: int
    rows_now: int
    bars: tuple[Bar, ...] = ()


def of_numbers(feature: str, then: ArrayLike, now: ArrayLike, line: float = LINE) -> Shift:
    """The shift of a number; values that are not finite are left out."""
    before, after = _finite(then), _finite(now)
    names = ("Wasserstein, in standard deviations", "Kolmogorov-Smirnov")
    if min(len(before), len(after)) < LEAST_ROWS:
        return Shift(feature, names[0], math.nan, names[1], math.nan, "unknown", len(before), len(after))
    spread = float(before.std())
    moved = float(stats.wasserstein_distance(before, after))
    distance = moved / spread if spread > 0 else (0.0 if moved == 0 else math.inf)
    p_value = float(stats.ks_2samp(before, after).pvalue)
    return _judged(feature, names, distance, p_value, line, (len(before), len(after)), _bands(before, after))


def of_classes(feature: str, then: Mapping[str, int], now: Mapping[str, int], line: float = LINE) -> Shift:
    """The shift of a class, from the rows of each."""
    rows = sum(then.values()), sum(now.values())
    names = ("Jensen-Shannon", "chi-squared")
    if min(rows) < LEAST_ROWS:
        return Shift(feature, names[0], math.nan, names[1], math.nan, "unknown", *rows)
    labels = sorted({*then, *now}, key=lambda name: (-then.get(name, 0), name))
    table = np.array([[side.get(name, 0) for name in labels] for side in (then, now)], np.float64)
    distance = float(jensenshannon(table[0], table[1], base=2))
    p_value = float(stats.chi2_contingency(table).pvalue) if len(labels) > 1 else 1.0
    shares = table / table.sum(axis=1, keepdims=True)
    bars = [Bar(name, *map(float, pair)) for name, pair in zip(labels, shares.T, strict=True)]
    if len(bars) > MOST_BARS:
        rest = bars[MOST_BARS - 1 :]
        bars = [*bars[: MOST_BARS - 1], Bar(REST, sum(one.then for one in rest), sum(one.now for one in rest))]
    return _judged(feature, names, distance, p_value, line, rows, tuple(bars))


def _judged(
    feature: str,
    names: tuple[str, str],
    distance: float,
    p_value: float,
    line: float,
    rows: tuple[int, int],
    bars: tuple[Bar, ...],
) -> Shift:
    verdict: Verdict = "shifted" if distance >= line else "alike"
    return Shift(feature, names[0], distance, names[1], p_value, verdict, *rows, bars)


def _bands(then: NDArray[np.float64], now: NDArray[np.float64]) -> tuple[Bar, ...]:
    """Shares in bands that each hold about a tenth of the earlier values."""
    edges = np.unique(np.quantile(then, np.linspace(0, 1, BARS + 1)[1:-1]))
    before, after = (
        np.bincount(np.searchsorted(edges, one, side="left"), minlength=len(edges) + 1) / len(one)
        for one in (then, now)
    )
    names = [f"up to {edge:.3g}" for edge in edges] + [f"above {edges[-1]:.3g}"]
    return tuple(Bar(name, float(a), float(b)) for name, a, b in zip(names, before, after, strict=True))


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(values, np.float64).ravel()
    return found[np.isfinite(found)]
