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
            values = _without_nulls(column)
            given = [value for value in values if value is not None]
            if given and all(isinstance(value, bool | np.bool_) for value in given):
                column = values.astype("boolean")
            else:
                lists = [list(map(str, value)) if isinstance(value, np.ndarray) else value for value in values]
                column = _objects(lists, values.index)
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
    known = column.notna().to_numpy()
    return _objects(
        [
            value if is_known and not (isinstance(value, str) and value.strip() in NULLS) else None
            for value, is_known in zip(column, known, strict=True)
        ],
        column.index,
    )


def _objects(values: list[Any], index: pd.Index) -> pd.Series:
    """Values as they are: left to infer, pandas makes NaN of None beside text."""
    return pd.Series(values, index=index, dtype=object)


def _of_one_kind(values: pd.Series) -> pd.Series:
    given = [value for value in values if value is not None]
    if any(map(_is_list, given)):
        return _objects([_as_list(value) for value in values], values.index)
    words = [str(value).strip().lower() for value in given]
    if set(words) <= YES | NO:
        flags = [None if value is None else str(value).strip().lower() in YES for value in values]
        return _objects(flags, values.index).astype("boolean")
    codes = any(word[:1] == "0" and word[1:2].isdigit() for word in words)
    if not codes and not any(isinstance(value, bool | np.bool_) for value in given):
        parsed = numbers(values)
        if int(parsed.notna().sum()) == len(given):
            return parsed
    texts = [None if value is None else str(value) for value in values]
    some = [text for text in texts if text is not None]
    if any(map(_has_bars, some)) and all(map(_short_parts, some)):
        return _objects(
            [None if text is None else [part.strip() for part in text.split("|")] for text in texts], values.index
        )
    return _objects(texts, values.index)


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
