"""What a data set is like, as far as good hyperparameters depend on it."""

from __future__ import annotations

import numpy as np

from recstage.config.schemas import DataKind
from recstage.data.interactions import Interactions

DENSE = 0.01
"""Share of the pairs of active users and chosen items that is there; MovieLens has .045 to .063, shops far less."""
SESSION_LENGTH = 5
"""A median history shorter than this tells of sessions, not of tastes."""


def kind_of(rows: Interactions) -> DataKind:
    """`unordered` where nothing says what came first; else by lengths of histories and by density."""
    if not rows.ordered:
        return "unordered"
    positives = rows.select(rows.weight > 0)
    lengths = positives.lengths[positives.lengths > 0]
    if not len(lengths):
        return "sparse"
    if np.median(lengths) < SESSION_LENGTH:
        return "sessions"
    density = len(positives) / (len(lengths) * np.count_nonzero(positives.item_counts))
    return "dense" if density >= DENSE else "sparse"
