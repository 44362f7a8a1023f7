"""The contract of a group of features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions
from recstage.data.tables.values.columns import Columns
from recstage.models.features.candidates import Candidates

DAY = 86_400
CLOCK_FROM = 100_000_000
"""Seconds from 1970 to a day in March 1973: no interaction is older, and no rank in a history is as high."""


@dataclass(frozen=True, eq=False)
class Past:
    """What a group may be fitted to: rows before any label, and the catalogue."""

    rows: Interactions
    catalogue: Catalogue
    seed: int = 0

    @property
    def now(self) -> int | None:
        """Time of the newest row in seconds since 1970, None if timestamps are ranks within a history."""
        newest = int(self.rows.timestamp.max(initial=0))
        return newest if newest >= CLOCK_FROM else None


class Group(ABC):
    """Features that are fitted, computed and left out together.

    `learn` fills `arrays` from the past; `compute` reads nothing but `arrays` and the candidates, so that the saved
    arrays are all that serving needs, and no feature can see a label.
    """

    name: ClassVar[str]
    features: Mapping[str, str]
    """Name and meaning of each feature, in the order of `compute`'s columns."""

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray] = {}

    @abstractmethod
    def learn(self, past: Past) -> None:
        """Set `arrays`."""

    @abstractmethod
    def compute(self, candidates: Candidates) -> NDArray[np.float32]:
        """Each pair's features: float32[p, len(features)], NaN where a feature is undefined."""

    def unlearned(self, given: Columns) -> list[str]:
        """Keys of `given` (as in `Users.given`, one value each) that it reads and whose value it does not know."""
        return []

    def load(self, arrays: Mapping[str, NDArray]) -> None:
        """Set `arrays` to those of an equal group."""
        self.arrays = dict(arrays)


def log_popularity(past: Past) -> NDArray[np.float32]:
    """log(1 + likes) of each item minus that of a mean item, so that it is stable as data grows: float32[n_items]."""
    likes = past.rows.item_counts
    return (np.log1p(likes) - np.log1p(likes.sum() / max(1, len(likes)))).astype(np.float32)


def stacked(columns: list[NDArray], n: int) -> NDArray[np.float32]:
    """Columns side by side: float32[n, len(columns)]."""
    out = np.empty((n, len(columns)), np.float32)
    for place, column in enumerate(columns):
        out[:, place] = column
    return out


def ratio(part: NDArray, whole: NDArray) -> NDArray[np.float32]:
    """part / whole, NaN where whole is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(whole) > 0, np.asarray(part, np.float64) / whole, np.nan).astype(np.float32)
