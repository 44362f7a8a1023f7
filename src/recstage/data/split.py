"""Cutting a data set into training, validation and test, all over the same id maps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recstage.data.interactions import Interactions


@dataclass(frozen=True, eq=False)
class Split:
    """`train`, `validation` and `test` share id maps and no pair; `validation` is never later than `test`.

    `negatives` int32[n_users, c] holds each user's sampled candidates for the sampled protocol (padded with -1), to be
    ranked against his test items; None where the protocol is not asked for.
    """

    method: str
    train: Interactions
    validation: Interactions
    test: Interactions
    negatives: NDArray[np.int32] | None = None

    @cached_property
    def train_and_validation(self) -> Interactions:
        """What the final model is fitted on."""
        return self.train.union(self.validation)
