"""Columns of text as numbers, whatever the decimal mark."""

from __future__ import annotations

import decimal as exact
import re
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Decimal = Literal["auto", ".", ","]
WITH_COMMA = r"^[+-]?(?:\d{1,3}(?:[. \u00a0\u202f']\d{3})+|\d*),\d+$"
THOUSANDS = r"^[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?$"
CURRENCY = re.compile(r"^[€$£¥₹]\s*|\s*(?:[€$£¥₹%]|EUR|USD|GBP|CHF|kr|zł)$")
GRADE = (
    r"(?i)(\d+(?:[.,]\d+)?)\s*(?:(?:/|out of|of|von|sur|de|su)\s*\d+)?\s*(?:stars?|sternen?|étoiles?|points?|pts?)?"
    r"|[★⭐]+½?☆*"
)
YES = ("true", "yes", "y", "t", "ja", "oui", "si", "sí", "sim", "tak", "да", "是", "はい")
NO = ("false", "no", "n", "f", "nein", "non", "nej", "nee", "não", "nao", "nie", "нет", "否", "いいえ")
WITH_POINT = re.compile(r"[+-]?\d*\.\d+")


def numbers(column: pd.Series, decimal: Decimal = "auto") -> pd.Series:
    """float64 of a column; NaN where it is null or no finite number. With `auto`, a comma is the decimal mark where no
    value has a point as one, unless three digits follow every comma: then it parts thousands."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return pd.Series(np.nan, column.index, dtype="float64")
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _finite(column.to_numpy("float64", na_value=np.nan), column.index)
    try:
        array = pc.utf8_trim_whitespace(as_text(column))
        return _finite(array.cast(pa.float64()).to_numpy(zero_copy_only=False), column.index)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # some are no numbers as they stand
        codes, different = pd.factorize(column) if isinstance(column.dtype, pd.StringDtype) else (None, ())
        if codes is not None and 2 * len(different) < len(column):  # each different one once
            found = numbers(pd.Series(list(different), dtype=object), decimal).to_numpy()
            return pd.Series(np.append(found, np.nan)[codes], column.index)
        words = _words(column)
    values = pd.to_numeric(words, errors="coerce")
    left = words.notna() & values.isna()
    if left.any():
        values = values.where(~left, _with_commas(words[left], words, decimal))
    return _finite(values.to_numpy("float64"), column.index)


def flags_of(column: pd.Series) -> pd.Series | None:
    """float64 of a column of truth values, 1 for yes; None where it holds anything else, or nothing."""
    words = column.dropna().map(lambda value: str(value).strip().lower())
    if not len(words) or not set(words.unique()) <= {*YES, *NO}:
        return None
    return words.isin(YES).astype("float64").reindex(column.index)


def grades_of(column: pd.Series) -> pd.Series | None:
    """float64 of a column of grades in words: 4/5, 4.0 out of 5 stars, 4 stars, ★★★★☆; None where it holds anything
    else, or nothing."""
    words = column.dropna().map(lambda value: str(value).strip())
    if not len(words) or not words.str.fullmatch(GRADE).all():
        return None
    stars = words.str.count("[★⭐]") + words.str.count("½") / 2
    plain = pd.to_numeric(words.str.extract(GRADE)[0].str.replace(",", ".", regex=False), errors="coerce")
    return plain.where(plain.notna(), stars).astype("float64").reindex(column.index)


def as_text(column: pd.Series) -> pa.Array | pa.ChunkedArray:
    """A column of text for Arrow, null where it is null. Raises `pa.ArrowTypeError` on what is no text."""
    if isinstance(column.dtype, pd.StringDtype):
        return pa.array(column.array, from_pandas=True)
    return pa.array(column.astype(object).where(column.notna(), None), pa.string(), from_pandas=True)


def _words(column: pd.Series) -> pd.Series:
    """Values as text, null where there is none; truth values and lists are no text that could be a number."""
    known = column.notna().to_numpy()
    words = [
        CURRENCY.sub("", str(value).strip())
        if is_known and isinstance(value, str | int | float | exact.Decimal) and not isinstance(value, bool)
        else None
        for value, is_known in zip(column, known, strict=True)
    ]
    return pd.Series(words, column.index, dtype=object)


def _with_commas(left: pd.Series, words: pd.Series, decimal: Decimal) -> pd.Series:
    thousands, comma = left.str.match(THOUSANDS), left.str.match(WITH_COMMA)
    pointed = any(isinstance(word, str) and WITH_POINT.fullmatch(word) for word in words)
    if decimal == "." or (decimal == "auto" and (pointed or (comma & thousands).sum() == comma.sum())):
        plain = left.where(thousands).str.replace(",", "", regex=False)
    else:
        plain = left.where(comma).str.replace(r"[.\s']", "", regex=True).str.replace(",", ".", regex=False)
    return pd.to_numeric(plain, errors="coerce")


def _finite(values: np.ndarray, index: pd.Index) -> pd.Series:
    return pd.Series(np.where(np.isfinite(values), values, np.nan), index, dtype="float64")
