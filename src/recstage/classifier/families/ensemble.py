"""The ensemble: a weighted mean of the scores of both families, each on its own scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recstage.classifier import measures
from recstage.classifier.families.linear import LinearText
from recstage.classifier.families.transformer import TransformerText

SHARES = np.linspace(0.0, 1.0, 21)


@dataclass(eq=False)
class EnsembleText:
    """`share` of the transformer's scores over `scales[1]`, and the rest of the linear ones over `scales[0]`."""

    linear: LinearText
    transformer: TransformerText
    share: float
    scales: tuple[float, float]

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """float64[n, classes]."""
        return mixed(self.linear.scores(texts), self.transformer.scores(texts), self.share, self.scales)


def mixed(
    linear: NDArray[np.float64], transformer: NDArray[np.float64], share: float, scales: tuple[float, float]
) -> NDArray[np.float64]:
    """The mean of both scores, float64[n, classes]."""
    return (1 - share) * linear / scales[0] + share * transformer / scales[1]


def best_share(
    linear: NDArray[np.float64], transformer: NDArray[np.float64], truth: NDArray[np.bool_]
) -> tuple[float, tuple[float, float]]:
    """The share of the transformer that is best on validation by mean average precision, and both scales."""
    scales = (float(linear.std()) or 1.0, float(transformer.std()) or 1.0)
    found = [
        np.nanmean(measures.average_precisions(truth, mixed(linear, transformer, share, scales))) for share in SHARES
    ]
    return float(SHARES[int(np.argmax(found))]), scales
