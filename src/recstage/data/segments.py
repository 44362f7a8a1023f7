"""Users by how much the model knows of them: cold, warm and hot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEGMENTS = ("cold", "warm", "hot")


def segment_of(count: int, cold_below: int, hot_from: int) -> str:
    """The segment of one user, as `segments_of` gives it."""
    return "cold" if count < cold_below else "hot" if count >= hot_from else "warm"


def segments_of(counts: NDArray[np.int64], cold_below: int, hot_from: int) -> NDArray[np.object_]:
    """The segment of each user by their number of training interactions (dismissals count: they are known too).

    `conf/evaluation.yaml` holds the thresholds: cold below `cold_below`, hot from `hot_from` on, warm between.
    """
    names = np.array(SEGMENTS, dtype=object)
    return names[(counts >= cold_below).astype(int) + (counts >= hot_from)]
