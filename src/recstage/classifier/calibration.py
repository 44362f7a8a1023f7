"""From a family's scores to probabilities, and from probabilities to labels; both learnt on validation.

Platt 1999 with the smoothed targets of Lin, Lin and Weng 2007, so that a class of few positives never becomes certain;
a class of fewer than `LEAST_POSITIVES` shares the curve of all classes. Isotonic regression (Zadrozny and Elkan 2002)
is blended with Platt's curve, which keeps it strictly increasing: calibration never changes the order of scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from recstage.config.classifier import ClassifierConfig

LEAST_POSITIVES = 8
ISOTONIC_SHARE = 0.9
KNOTS = 64
SHRINKAGE = 25.0
"""A class's own best threshold weighs positives / (positives + this); the threshold of all classes has the rest."""
GRID = np.linspace(0.05, 0.9, 86)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Platt's slope and offset a class, and knots of an isotonic curve where a class has one.

    `slope`, `offset` float64[classes]; `knots`, `values` float64[classes, KNOTS], NaN where there is no isotonic curve.
    """

    slope: NDArray[np.float64]
    offset: NDArray[np.float64]
    knots: NDArray[np.float64]
    values: NDArray[np.float64]

    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64[n, classes] in (0, 1) from scores float64[n, classes]."""
        found = expit(scores * self.slope + self.offset)
        for k in np.flatnonzero(np.isfinite(self.knots[:, 0])):
            stepped = np.interp(scores[:, k], self.knots[k], self.values[k])
            found[:, k] = ISOTONIC_SHARE * stepped + (1 - ISOTONIC_SHARE) * found[:, k]
        return found


def fit(scores: NDArray[np.float64], truth: NDArray[np.bool_], config: ClassifierConfig) -> Calibration:
    """The calibration of scores float64[n, classes] to truth bool[n, classes]."""
    classes = scores.shape[1]
    shared = _platt(scores.ravel(), truth.ravel())
    slope, offset = np.full(classes, shared[0]), np.full(classes, shared[1])
    knots, values = np.full((classes, KNOTS), np.nan), np.full((classes, KNOTS), np.nan)
    for k in range(classes):
        positives = int(truth[:, k].sum())
        if min(positives, len(truth) - positives) < LEAST_POSITIVES:
            continue
        slope[k], offset[k] = _platt(scores[:, k], truth[:, k])
        if config.calibration == "isotonic" and positives >= config.isotonic_positives:
            knots[k] = np.quantile(scores[:, k], np.linspace(0, 1, KNOTS))
            curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores[:, k], truth[:, k])
            values[k] = curve.predict(knots[k])
    return Calibration(slope, offset, knots, values)


def _platt(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> tuple[float, float]:
    positives = int(truth.sum())
    negatives = len(truth) - positives
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope, offset = np.exp(parameters[0]), parameters[1]  # the slope stays positive: the order stays
        z = slope * scores + offset
        gradient = expit(z) - target
        value = float((np.logaddexp(0, z) - target * z).mean())
        return value, np.array([(gradient * scores).mean() * slope, gradient.mean()])

    start = np.array([0.0, float(np.log((positives + 1) / (negatives + 1)))])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-4.0, 4.0), (-20.0, 20.0)]).x
    return float(np.exp(found[0])), float(found[1])


def thresholds(probabilities: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The threshold a class that is best for its F1, drawn towards the one that is best for the mean F1 of all classes:
    the fewer positives, the more. float64[classes]."""
    curves = np.stack([_f1_curve(probabilities[:, k], truth[:, k]) for k in range(truth.shape[1])])
    present = truth.any(axis=0)
    together = _best(curves[present].mean(axis=0)) if present.any() else 0.5
    own = np.array([_best(curve) for curve in curves])
    positives = truth.sum(axis=0)
    share = positives / (positives + SHRINKAGE)
    return share * own + (1 - share) * together


def _best(curve: NDArray[np.float64]) -> float:
    """The threshold of the greatest F1; of several that are equally good the middle one, as where classes are told
    apart without a mistake: the least of them would give every class to the next text."""
    best = np.flatnonzero(curve >= curve.max() - 1e-9)
    return float(GRID[best[len(best) // 2]])


def _f1_curve(probability: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    given = probability[:, None] >= GRID
    hits = (given & truth[:, None]).sum(axis=0)
    both = given.sum(axis=0) + truth.sum()
    return np.divide(2.0 * hits, both, out=np.zeros(len(GRID)), where=both > 0)
