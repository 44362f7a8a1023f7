"""Counts and values of clean events, gathered block after block for the validation report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recstage.data.out_of_core.arrays import ArrayFile
from recstage.data.report.distributions import PERIODS, moment, quantiles_of

BLOCK = 1 << 22


class Figures:
    """Events of each kind, and their values in a file a kind."""

    def __init__(self, folder: Path, kinds: Sequence[str]) -> None:
        self._folder, self._kinds = folder, kinds
        self._rows = np.zeros(len(kinds), np.int64)
        self._files: dict[int, ArrayFile] = {}

    def add(self, kind: NDArray[np.integer], value: NDArray[np.float64]) -> None:
        """The next events: places of their kinds, and values (NaN: none)."""
        self._rows += np.bincount(kind, minlength=len(self._rows))
        given = ~np.isnan(value)
        for at in np.flatnonzero(np.bincount(kind[given], minlength=len(self._rows))).tolist():
            if at not in self._files:
                self._files[at] = ArrayFile(self._folder / f"values.{at}.npy", np.float64)
            self._files[at].append(value[given & (kind == at)])

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    @property
    def types(self) -> pd.Series:
        """Events of each kind, the most frequent first; equal ones in the order in which they first came."""
        counts = pd.Series(dict(zip(self._kinds, self._rows.tolist(), strict=True)), dtype=np.int64)
        return counts.sort_values(ascending=False, kind="stable")

    def values(self) -> dict[str, Any]:
        """Quantiles of the values of each kind that has any. The files are sorted in part where they lie."""
        found = {}
        for at in sorted(self._files):
            given = np.load(self._folder / f"values.{at}.npy", mmap_mode="r+")
            found[self._kinds[at]] = quantiles_of(given, int(self._rows[at]), overwrite=True)
        return found


def times_of(times: NDArray[np.float64], chosen: NDArray[np.bool_] | None, low: float, high: float) -> dict[str, Any]:
    """As `recstage.data.report.distributions.times_of`, of the `chosen` rows (all by default) of an array on disk."""
    counts = np.zeros(PERIODS, np.int64)
    for start in range(0, len(times), BLOCK):
        some = np.asarray(times[start : start + BLOCK])
        some = some if chosen is None else some[chosen[start : start + BLOCK]]
        counts += np.histogram(some, bins=PERIODS, range=(low, max(high, low + 1)))[0]
    return {"first": moment(low), "last": moment(high), "per_period": counts.tolist()}
