"""The values of one attribute as numbers: as they are, or the place of a text among the frequent ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST, FEWEST = 50, 5
"""Texts that are told apart, the most frequent, and how often each must be there: rarer ones are missing."""
BANDS = 5


@dataclass(frozen=True, eq=False)
class Values:
    """Of a text attribute `names` are its values; of a number `edges` float64[BANDS - 1] part it into bands of about
    equally many."""

    names: tuple[str, ...]
    edges: NDArray[np.float64]
    is_text: bool

    @classmethod
    def learn(cls, column: NDArray) -> Values:
        """From a column of `recstage.data.tables.values.columns`."""
        if column.dtype == object:
            found, counts = np.unique([value for value in column if value is not None], return_counts=True)
            order = np.lexsort((found, -counts))[:MOST]
            names = tuple(str(found[place]) for place in order if counts[place] >= FEWEST)
            return cls(names, np.empty(0), True)
        known = column[np.isfinite(column)]
        edges = np.quantile(known, np.arange(1, BANDS) / BANDS) if len(known) else np.empty(0)
        return cls((), np.unique(edges), False)

    @property
    def n_bands(self) -> int:
        """Values that are told apart when they are crossed with items."""
        return max(1, len(self.names) if self.is_text else len(self.edges) + 1)

    def numbers(self, column: NDArray) -> NDArray[np.float64]:
        """Each value as a number, NaN where it is missing, no number, or none of the known texts: float64[n]."""
        if self.is_text:
            place: dict[str | None, int] = {name: number for number, name in enumerate(self.names)}
            texts = column if column.dtype == object else [None if np.isnan(one) else f"{one:g}" for one in column]
            return np.array([place.get(value, np.nan) for value in texts], np.float64)
        return column.astype(np.float64) if column.dtype != object else np.array([_number(one) for one in column])

    def bands(self, numbers: NDArray[np.float64]) -> NDArray[np.int64]:
        """The value (of a text) or band (of a number) of each, -1: missing."""
        known = np.isfinite(numbers)
        found = np.full(len(numbers), -1, np.int64)
        found[known] = numbers[known] if self.is_text else np.searchsorted(self.edges, numbers[known], side="right")
        return found

    def state(self) -> dict[str, NDArray]:
        """As plain arrays."""
        names = np.frombuffer("\x00".join(self.names).encode(), np.uint8).copy()
        return {"names": names, "edges": self.edges, "is_text": np.array([self.is_text])}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray], prefix: str) -> Values:
        """The inverse of `state`, its keys after `prefix`."""
        text = state[f"{prefix}names"].tobytes().decode()
        return cls(
            tuple(text.split("\x00")) if text else (), state[f"{prefix}edges"], bool(state[f"{prefix}is_text"][0])
        )


def _number(value: object) -> float:
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
    return found if np.isfinite(found) else float("nan")
