"""The trained trees in use: scores of candidates, and what each feature adds to them."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

FEW = 4096
"""Up to so many pairs are scored by one thread: starting others would cost more than they save."""


class Trees:
    """A booster by its text, as LightGBM writes it. The lowest score that it can give is 0."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._booster = lightgbm.Booster(model_str=text)
        leaves = [line.partition("=")[2].split() for line in text.splitlines() if line.startswith("leaf_value=")]
        self._least = sum(min(map(float, values)) for values in leaves)

    def __len__(self) -> int:
        return int(self._booster.num_trees())

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of candidates with `features` float32[p, f]: float32[p]."""
        if not len(features):
            return np.empty(0, np.float32)
        threads: dict[str, Any] = {"num_threads": 1} if len(features) <= FEW else {}
        raw = np.asarray(self._booster.predict(features, raw_score=True, **threads))
        return (raw - self._least).astype(np.float32)

    def contributions(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """What each feature adds to the score, and last what all items get: float64[p, f + 1].

        Rows sum to the scores. Lundberg et al., "Consistent Individualized Feature Attribution for Tree Ensembles"
        (2018).
        """
        found = np.asarray(self._booster.predict(features, pred_contrib=True))
        found[:, -1] -= self._least
        return found

    def gains(self) -> list[float]:
        """Gain of each feature in training."""
        return [float(gain) for gain in self._booster.feature_importance("gain")]
