"""Named columns of values that users or events carry: numbers with NaN where one is missing, or texts with None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recstage.data.tables.values.attributes import kind_of

Columns = Mapping[str, NDArray]
"""By name: float64[n] (NaN: missing) or object[n] of text (None: missing)."""
NO_COLUMNS: Columns = MappingProxyType({})


def no_columns() -> Columns:
    """For fields of dataclasses."""
    return NO_COLUMNS


def columns_of(frame: pd.DataFrame) -> Columns:
    """Attributes of one kind each (`attributes_of`) as columns: truth values as the texts true and false, and of a list
    its first value."""
    return {str(name): _column(frame[name]) for name in frame}


def _column(values: pd.Series) -> NDArray:
    kind = kind_of(values)
    if kind == "number":
        return values.to_numpy(np.float64)
    missing = values.isna().to_numpy()
    out = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        if missing[place] if not isinstance(value, list) else not value:
            out[place] = None
        elif kind == "list":
            out[place] = str(value[0])
        else:
            out[place] = str(bool(value)).lower() if kind == "boolean" else str(value)
    return out


def kinds_of(columns: Columns) -> dict[str, str]:
    """number or text, by name."""
    return {name: "text" if values.dtype == object else "number" for name, values in columns.items()}


def taken(columns: Columns, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Columns:
    """The rows of every column."""
    return {name: values[rows] for name, values in columns.items()} if columns else NO_COLUMNS


def stacked(parts: Sequence[tuple[Columns, int]]) -> Columns:
    """Columns of several tables (each with its number of rows) below each other; missing where a table lacks one. A
    column that is a number in one and text in another is text."""
    names = dict.fromkeys(name for columns, _ in parts for name in columns)
    out = {}
    for name in names:
        found = [(columns.get(name), n) for columns, n in parts]
        text = any(values is not None and values.dtype == object for values, _ in found)
        out[name] = np.concatenate([_filled(values, n, text=text) for values, n in found])
    return out


def _filled(values: NDArray | None, n: int, *, text: bool) -> NDArray:
    if values is None:
        return np.full(n, None, dtype=object) if text else np.full(n, np.nan)
    if text and values.dtype != object:
        return np.array([None if np.isnan(value) else f"{value:g}" for value in values], dtype=object)
    return values


def aligned(columns: Columns, places: NDArray[np.integer]) -> Columns:
    """The values at `places` (-1: missing)."""
    out = {}
    for name, values in columns.items():
        empty = None if values.dtype == object else np.nan
        found = np.full(len(places), empty, dtype=values.dtype)
        found[places >= 0] = values[places[places >= 0]]
        out[name] = found
    return out
