"""What is asked of a ranking, and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.models.loaded_model import LoadedModel

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class RecommendationRequest:
    """What is wanted. `diversify` is MMR's lambda: 1 leaves the model's order."""

    user_id: str
    limit: int = 10
    strategy: str = AUTO
    diversify: float = 1.0
    exclude: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    exclude_seen: bool = True
    explain: bool = False


@dataclass(frozen=True, slots=True)
class RankedItems:
    """Item indices of `served`, best first, their scores, what spoke, how varied the list is (0: all alike, 1: nothing
    in common; None for fewer than two items), and a reason an item where it was asked for."""

    served: LoadedModel
    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    method: str
    diversity: float | None
    reasons: Sequence[str] | None = None
