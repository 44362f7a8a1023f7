"""Users by how much the model knows of them: cold, warm and hot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recstage.config import EvaluationConfig

SEGMENTS = ("cold", "warm", "hot")


def segments_of(n_train: NDArray[np.int64], config: EvaluationConfig) -> NDArray[np.object_]:
    """The segment of each user by his number of training interactions (dismissals count: they are known too)."""
    names = np.array(SEGMENTS, dtype=object)
    return names[(n_train >= config.cold_below).astype(int) + (n_train >= config.hot_from)]
