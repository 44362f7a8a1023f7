"""Ids as text, by one rule for users and items, for events and catalogue, whatever the format of the file.

Surrounding blanks are cut off, text is brought to Unicode's NFC, and a whole number written with a decimal point
("1.0", as spreadsheets and data frames write it) is that whole number; "1.000" as text may be a thousand, and stays.
Leading zeros and marks between thousands stay, because they mean something in bar codes, unless `source.ids` is
`number`; with `text` numbers stay as they are written, and words that usually stand for nothing (NA, null) are ids.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import pandas as pd

from recstage.data.schema import Rejected
from recstage.data.tables.values.shown import shown
from recstage.errors import DataError

IdRule = Literal["auto", "text", "number"]
LONGEST_ID = 256  # as the service's database has it
NULLS = frozenset(
    {
        "", "null", "NULL", "Null", "nan", "NaN", "NAN", "NA", "N/A", "n/a", "#N/A", "None", "none", "<NA>", "NaT",
        r"\N", "(null)", "(NULL)", "[null]", "[NULL]", "<null>", "<NULL>", "nil", "undefined", "(not set)", "(none)",
        "-", "--", "#NULL!", "#VALUE!", "#REF!", "#DIV/0!", "#NAME?",
    }
)  # fmt: skip
"""What stands for nothing, in any column; an id it is with the rule `text` only, except nothing at all."""
WHOLE = re.compile(r"([+-]?\d+)\.0*")
A_THOUSAND = re.compile(r"[+-]?[1-9]\d{0,2}(\.000)+")
"""May be a number with a mark between thousands: as text it stays as it is written."""
CUT_OFF = re.compile(r"[+-]?\d(?:[.,]\d+)?E\+\d+", re.IGNORECASE)
"""A long number as a spreadsheet shows it, without its last digits."""
NUMBER = re.compile(r"[+-]?\d{1,3}(?:[,.' \u00a0\u202f]\d{3})+|[+-]?\d+")


def id_of(value: Any, rule: IdRule = "auto") -> str | None:
    """One id as text; None where there is none. Raises `ValueError` on what is no id: a truth value, a list, an object,
    a moment, more than 256 characters, control characters."""
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, bool | np.bool_ | list | dict | tuple | set | np.ndarray | datetime.date | datetime.time):
        raise ValueError(f"{value!r} is no id")
    if isinstance(value, float | np.floating) and not np.isfinite(value):
        if np.isnan(value):
            return None
        raise ValueError(f"{value!r} is no id")
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    text = unicodedata.normalize("NFC", str(value)).strip().strip("\ufeff\u200b")
    if not text or (rule != "text" and text in NULLS):
        return None
    if rule != "text" and not (isinstance(value, str) and A_THOUSAND.fullmatch(text)):
        whole = WHOLE.fullmatch(text)
        text = whole[1] if whole else text
    if rule == "number" and NUMBER.fullmatch(text):
        text = str(int(re.sub(r"[^\d+-]", "", text)))
    if len(text) > LONGEST_ID:
        raise ValueError(f"'{text[:20]}...' has {len(text)} characters, and an id at most {LONGEST_ID}")
    if not text.isprintable() and any(unicodedata.category(c) == "Cc" for c in text):
        raise ValueError(f"{text[:40]!r} has control characters")
    return text


def ids_of(column: pd.Series, rule: IdRule = "auto") -> tuple[pd.Series, pd.Series]:
    """A column of ids as categories of text (null where there is none), and which values are no ids: bool[n]."""
    codes, values = _coded(column)
    names: list[str | None] = []
    wrong = np.zeros(len(values) + 1, bool)  # the last: null
    for at, value in enumerate(values):
        try:
            names.append(id_of(value, rule))
        except ValueError:
            names.append(None)
            wrong[at] = True
    new_codes, categories = pd.factorize(np.array([*names, None], dtype=object))
    found = pd.Categorical.from_codes(new_codes[codes], categories=pd.Index(categories, dtype=object))
    return pd.Series(found, index=column.index), pd.Series(wrong[codes], index=column.index)


def refuse_a_column_of(column: pd.Series, wrong: pd.Series, name: str, where: str) -> None:
    """Raises `DataError` where a column holds values and none of them is an id, or all are truth values in words."""
    given = column[column.notna()]
    if not len(given):
        return
    some = given.iloc[:1000].astype(str).str.strip().str.casefold()
    if not isinstance(given.iloc[0], str) and bool(wrong.loc[given.index].all()):
        what = type(given.iloc[0]).__name__.removeprefix("numpy.").removesuffix("_")
    elif set(some.unique()) <= {"true", "false"} and set(given.astype(str).str.strip().str.casefold().unique()) <= {
        "true",
        "false",
    }:
        what = "bool"
    else:
        return
    raise DataError(
        f"{where}: {name} '{shown(given.iloc[0])}'",
        rule=f"ids are text or whole numbers, not {what}: truth values, moments, lists and objects name nothing",
        fix=f"Map another column to {name} in source.columns (source.items_columns for items)",
    )


def rejected_ids(wrong: pd.Series, column: pd.Series, name: str, words: Any) -> Rejected:
    """The rows whose value is no id, as a reader counts them. `words` names a position."""
    if not wrong.any():
        return Rejected()
    told = [f"{words(position)}: {name} {why_not(value)}" for position, value in first_of(column[wrong])]
    return Rejected.of(f"invalid {name}", int(wrong.sum()), told)


def why_not(value: Any) -> str:
    """A value that is no id, shortened, with the reason where it is its length or what it holds."""
    try:
        id_of(value)
    except ValueError as error:
        if isinstance(value, str):
            return str(error)
    return f"'{shown(value)}'"


def nothing_note(words: Iterable[str], name: str) -> list[str]:
    """What there is to say of the `words` of a column of ids that were taken for nothing."""
    told = sorted({word for one in words if (word := one.strip())})
    if not told:
        return []
    listed = ", ".join(f"'{word}'" for word in told)
    return [f"{name} {listed}: taken for no id, such rows are dropped (source.ids: text keeps such words as ids)"]


def cut_off(column: pd.Series) -> tuple[int, str]:
    """How many different ids of a column are numbers that a spreadsheet has cut off (4.01235E+12), and the first."""
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.dropna().unique()
    found = [str(value) for value in values if CUT_OFF.fullmatch(str(value))]
    return len(found), found[0] if found else ""


def first_of(column: pd.Series) -> list[tuple[int, Any]]:
    """The first values of a column to be shown, with their positions."""
    some = column.head(Rejected.SHOWN)
    return list(zip(some.index.tolist(), some.tolist(), strict=True))


def _coded(column: pd.Series) -> tuple[np.ndarray, list[Any]]:
    """Codes (-1: null) of a column and its different values, as they are typed."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(), list(column.cat.categories)
    if column.dtype == object and any(isinstance(value, bool | list | dict | np.ndarray) for value in column):
        missing = np.array([value is None for value in column], bool)
        return np.where(missing, -1, np.arange(len(column))), list(column)  # True and 1 are equal as keys, not as ids
    codes, values = pd.factorize(column)
    return codes, list(values)
