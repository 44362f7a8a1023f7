"""Columns of an items file that have no name of ours: attributes of the catalogue, each of one kind.

`number` (float64), `boolean`, `list` (of text), `text`: what all values of the column are. Codes with leading zeros are
text.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import pandas as pd

from recstage.data.tables.values.ids import NULLS
from recstage.data.tables.values.numbers import numbers

YES, NO = {"true", "yes", "t", "y"}, {"false", "no", "f", "n"}
LONGEST_PART = 60  # characters: text with bars and longer parts is text


def attributes_of(frame: pd.DataFrame, *, taken: Collection[str] = ()) -> pd.DataFrame:
    """The columns of `frame`, each brought to its kind; those without any value are left out. A column with a name
    that is `taken` is called NAME_2."""
    found: dict[str, pd.Series] = {}
    for name in frame:
        values = _without_nulls(frame[name])
        if values.notna().any():
            label = str(name) if name not in taken else f"{name}_2"
            found[label] = _of_one_kind(values)
    return pd.DataFrame(found, index=frame.index)


def restored(frame: pd.DataFrame) -> pd.DataFrame:
    """Attributes as they come out of a file of columns, or aligned with other rows, each of its kind again."""
    columns = {}
    for name in frame:
        column = frame[name]
        if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
            values = column.astype(object).where(column.notna(), None)
            given = [value for value in values if value is not None]
            if given and all(isinstance(value, bool | np.bool_) for value in given):
                column = values.astype("boolean")
            else:
                column = values.map(lambda value: list(map(str, value)) if isinstance(value, np.ndarray) else value)
                column = column.astype(object)
        elif pd.api.types.is_bool_dtype(column.dtype):
            column = column.astype("boolean")
        elif pd.api.types.is_numeric_dtype(column.dtype):
            column = column.astype("float64")
        columns[str(name)] = column
    return pd.DataFrame(columns, index=frame.index)


def kind_of(column: pd.Series) -> str:
    """`number`, `boolean`, `list` or `text`."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(column.dtype):
        return "number"
    given = column.dropna()
    return "list" if len(given) and isinstance(given.iloc[0], list | tuple | np.ndarray) else "text"


def _without_nulls(column: pd.Series) -> pd.Series:
    values = column.astype(object).where(column.notna(), None)
    return values.map(lambda value: None if isinstance(value, str) and value.strip() in NULLS else value)


def _of_one_kind(values: pd.Series) -> pd.Series:
    given = values[values.map(lambda value: value is not None)]
    if given.map(_is_list).any():
        return values.map(_as_list).astype(object)
    words = given.map(lambda value: str(value).strip().lower())
    if set(words.unique()) <= YES | NO:
        return values.map(lambda v: None if v is None else str(v).strip().lower() in YES).astype("boolean")
    zeros = words.str.match(r"^0\d").any()
    if not zeros and not given.map(lambda value: isinstance(value, bool)).any():
        parsed = numbers(values)
        if parsed[given.index].notna().all():
            return parsed
    text = values.map(lambda value: None if value is None else str(value))
    if text.dropna().map(_has_bars).any() and text.dropna().map(_short_parts).all():
        return text.map(lambda value: None if value is None else [part.strip() for part in value.split("|")])
    return text.astype(object)


def _is_list(value: Any) -> bool:
    return (isinstance(value, Iterable) and not isinstance(value, str | bytes | dict)) or (
        isinstance(value, str) and value.startswith("[") and isinstance(_parsed(value), list)
    )


def _as_list(value: Any) -> list[str] | None:
    if value is None:
        return None
    if isinstance(value, str):
        parsed = _parsed(value)
        value = parsed if isinstance(parsed, list) else [value]
    elif not isinstance(value, Iterable):
        value = [value]
    return [str(part) for part in value]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _has_bars(text: str) -> bool:
    return "|" in text


def _short_parts(text: str) -> bool:
    return max(map(len, text.split("|"))) <= LONGEST_PART
