"""How good multi-label predictions are: F1, average precision, calibration, pairs that are confused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Truth = NDArray[np.bool_]
Scores = NDArray[np.float64]
CALIBRATION_BINS = 10


def average_precisions(truth: Truth, scores: Scores, weight: NDArray[np.float64] | None = None) -> Scores:
    """Average precision a class, float64[classes]: sum of precision times gain in recall over the distinct scores, as
    scikit-learn's `average_precision_score`; NaN where a class has no positive. `weight` float64[n] of the samples."""
    weights = np.ones(len(truth)) if weight is None else weight
    return np.array([_average_precision(truth[:, k], scores[:, k], weights) for k in range(truth.shape[1])])


def _average_precision(truth: NDArray[np.bool_], scores: Scores, weight: NDArray[np.float64]) -> float:
    order = np.argsort(-scores, kind="stable")
    hits, seen = np.cumsum(weight[order] * truth[order]), np.cumsum(weight[order])
    if not len(hits) or hits[-1] <= 0:
        return float("nan")
    last = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)  # the last sample of each distinct score
    hits, seen = hits[last], seen[last]
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    return float((precision * np.diff(hits, prepend=0.0)).sum() / hits[-1])


def f1_scores(truth: Truth, predicted: Truth) -> Scores:
    """F1 a class, float64[classes]; 0 where nothing is predicted rightly, NaN where a class has neither a positive nor
    a prediction."""
    hits = (truth & predicted).sum(axis=0)
    both = truth.sum(axis=0) + predicted.sum(axis=0)
    return np.divide(2.0 * hits, both, out=np.full(len(both), np.nan), where=both > 0)


def micro_f1(truth: Truth, predicted: Truth) -> float:
    """F1 over all pairs of sample and class; 0 where there is none."""
    both = int(truth.sum() + predicted.sum())
    return 2.0 * int((truth & predicted).sum()) / both if both else 0.0


def calibration_error(truth: Truth, probabilities: Scores) -> float:
    """Expected calibration error over all pairs of sample and class, in ten equal bins (Naeini et al. 2015)."""
    table = calibration_table(truth, probabilities)
    total = table["pairs"].sum()
    return float((table["pairs"] * (table["predicted"] - table["observed"]).abs()).sum() / total) if total else 0.0


def calibration_table(truth: Truth, probabilities: Scores) -> pd.DataFrame:
    """Bins of probability that hold pairs: `pairs`, mean `predicted`, share `observed`."""
    flat, real = probabilities.ravel(), truth.ravel()
    bins = np.minimum((flat * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    rows = [
        (int((bins == b).sum()), float(flat[bins == b].mean()), float(real[bins == b].mean()))
        for b in range(CALIBRATION_BINS)
        if (bins == b).any()
    ]
    return pd.DataFrame(rows, columns=["pairs", "predicted", "observed"])


def summary(truth: Truth, probabilities: Scores, predicted: Truth) -> dict[str, float]:
    """The headline figures. Classes without a positive count in no mean."""
    precision = average_precisions(truth, probabilities)
    present = truth.any(axis=0)
    return {
        "mean_average_precision": _mean(precision),
        "macro_f1": _mean(np.where(present, f1_scores(truth, predicted), np.nan)),
        "micro_f1": micro_f1(truth, predicted),
        "calibration_error": calibration_error(truth, probabilities),
        "labels_per_text": float(predicted.sum(axis=1).mean()) if len(predicted) else 0.0,
    }


def per_class(
    labels: Sequence[str], truth: Truth, probabilities: Scores, predicted: Truth, thresholds: Scores
) -> pd.DataFrame:
    """A row a class: support, average precision, precision, recall, F1, threshold."""
    hits = (truth & predicted).sum(axis=0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = hits / predicted.sum(axis=0), hits / truth.sum(axis=0)
    return pd.DataFrame(
        {
            "class": list(labels),
            "support": truth.sum(axis=0),
            "average_precision": average_precisions(truth, probabilities),
            "precision": precision,
            "recall": recall,
            "f1": f1_scores(truth, predicted),
            "threshold": thresholds,
        }
    )


def confusion_of_pairs(labels: Sequence[str], truth: Truth, predicted: Truth) -> pd.DataFrame:
    """Which class was missed where which other one was given wrongly: missed, given, texts; the most frequent first."""
    missed, wrong = (truth & ~predicted).astype(np.int64), (~truth & predicted).astype(np.int64)
    counts = missed.T @ wrong
    rows = [(labels[i], labels[j], int(counts[i, j])) for i, j in np.argwhere(counts).tolist()]
    table = pd.DataFrame(rows, columns=["missed", "given", "texts"])
    return table.sort_values("texts", ascending=False, kind="stable", ignore_index=True)


def _mean(values: Scores) -> float:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else 0.0
