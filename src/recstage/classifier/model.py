"""A classifier: a family's scores, calibrated, with a threshold a class; what is trained, stored and served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recstage.classifier.calibration import Calibration
from recstage.classifier.data.samples import LONGEST_TEXT
from recstage.config.classifier import ClassifierConfig
from recstage.errors import DataError

if TYPE_CHECKING:
    from recstage.classifier.families.ensemble import EnsembleText
    from recstage.classifier.families.linear import LinearText
    from recstage.classifier.families.transformer import TransformerText

    TextModel = LinearText | TransformerText | EnsembleText


@dataclass(frozen=True)
class Label:
    """A category of a text and how probable it is."""

    category: str
    confidence: float


@dataclass(frozen=True)
class Classified:
    """The categories of one text, the most probable first. `confidence`: the mean of theirs, that is, the share of them
    to expect right; of a text that gets none, the largest probability of any."""

    labels: tuple[Label, ...]
    confidence: float


@dataclass(frozen=True, eq=False)
class Classifier:
    """`labels`: the classes in order of the columns; `thresholds` float64[classes]."""

    config: ClassifierConfig
    labels: tuple[str, ...]
    model: TextModel
    calibration: Calibration
    thresholds: NDArray[np.float64]

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """float64[n, classes]. Raises `DataError` on a text that is empty or too long."""
        for place, text in enumerate(texts):
            check_text(text, f"text {place + 1}" if len(texts) > 1 else "the text")
        return self.calibration.probabilities(self.model.scores(texts))

    def predicted(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which classes reach their threshold, bool[n, classes]."""
        return probabilities >= self.thresholds

    def classify(self, texts: Sequence[str]) -> list[Classified]:
        """The categories of each text. Raises what `probabilities` raises."""
        return [self._classified(row) for row in self.probabilities(texts)]

    def _classified(self, row: NDArray[np.float64]) -> Classified:
        given = [int(k) for k in np.argsort(-row, kind="stable") if row[k] >= self.thresholds[k]]
        labels = tuple(Label(self.labels[k], round(float(row[k]), 4)) for k in given)
        confidence = float(row[given].mean()) if given else float(row.max())
        return Classified(labels, round(confidence, 4))


def check_text(text: str, what: str) -> None:
    """Raise `DataError` on a text that cannot be classified."""
    if not text.strip():
        raise DataError(what, rule="it is empty", fix="Give a text")
    if len(text) > LONGEST_TEXT:
        raise DataError(
            what, rule=f"it has {len(text):,} characters, at most {LONGEST_TEXT:,} are taken", fix="Shorten it"
        )
