"""The values of one attribute for all items, by its kind, and which of them a condition matches: bool[n], in one pass.

    number    = != < <= > >=
    boolean   = !=                       true or false
    text      = !=, and < <= > >= for dates (2026-11-20, by their characters)
    list      = any of the values, != none of them

An unknown value matches no condition but `!=`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from serving.rules.query import Condition, InvalidFilter

Kind = Literal["number", "boolean", "text", "list"]
Value = float | bool | str | tuple[str, ...]
_DATE = re.compile(r"\d{4}-\d\d(-\d\d([T ][\d:.]+(Z|[+-]\d\d:?\d\d)?)?)?")
_ORDER: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def kind_of(value: Value) -> Kind:
    """The kind of one value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "list"


class Column(Protocol):
    """The values of one attribute, one an item."""

    kind: Kind

    def matches(self, condition: Condition) -> NDArray[np.bool_]:
        """Items that a condition matches: bool[n]. Raises `InvalidFilter` where it does not fit the kind."""
        ...

    def groups(self) -> list[tuple[Any, ...]]:
        """The values of each item, for a cap: of a list all of its parts, () where it is unknown."""
        ...

    def numbers(self) -> NDArray[np.float64]:
        """The values as numbers, for an objective: float64[n], NaN where unknown. Raises `InvalidFilter` on a kind that
        has none."""
        ...


class Numbers:
    """float64[n], NaN where unknown."""

    kind: Kind = "number"

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._values = values

    def matches(self, condition: Condition) -> NDArray[np.bool_]:
        given = [_number(condition, value) for value in condition.values]
        if condition.operator in _ORDER:
            with np.errstate(invalid="ignore"):
                return np.asarray(_ORDER[condition.operator](self._values, given[0]), bool)
        return _equal(np.isin(self._values, given), condition)

    def groups(self) -> list[tuple[Any, ...]]:
        return [() if value != value else (value,) for value in self._values.tolist()]  # NaN is not itself

    def numbers(self) -> NDArray[np.float64]:
        return self._values


class Flags:
    """int8[n]: 1 true, 0 false, -1 unknown."""

    kind: Kind = "boolean"

    def __init__(self, values: NDArray[np.int8]) -> None:
        self._values = values

    def matches(self, condition: Condition) -> NDArray[np.bool_]:
        _only_equality(condition, self.kind)
        words = [value.lower() for value in condition.values]
        if not set(words) <= {"true", "false"}:
            raise _unfit(condition, "it is true or false", f"{condition.attribute}=true")
        return _equal(np.isin(self._values, [word == "true" for word in words]), condition)

    def groups(self) -> list[tuple[Any, ...]]:
        return [() if value < 0 else (value,) for value in self._values.tolist()]

    def numbers(self) -> NDArray[np.float64]:
        return np.where(self._values < 0, np.nan, self._values)


class Texts:
    """Codes int32[n] of a vocabulary, -1 where unknown."""

    kind: Kind = "text"

    def __init__(self, values: Iterable[str | None]) -> None:
        self._code: dict[str, int] = {}
        self._codes = np.fromiter(
            (-1 if value is None else self._code.setdefault(value, len(self._code)) for value in values), np.int32
        )

    def matches(self, condition: Condition) -> NDArray[np.bool_]:
        if condition.operator in _ORDER:
            bound = condition.values[0]
            if not _DATE.fullmatch(bound):
                example = f"{condition.attribute}{condition.operator}2026-11-20"
                raise _unfit(condition, f"it is text, and {condition.operator} compares numbers and dates", example)
            words = np.array(list(self._code) or [""], dtype=str)
            fits = np.append(_ORDER[condition.operator](words, bound), False)
            return np.asarray(fits[self._codes], bool)
        given = [self._code[value] for value in condition.values if value in self._code]
        if len(given) == 1:
            return _equal(self._codes == given[0], condition)
        return _equal(np.isin(self._codes, given), condition)

    def groups(self) -> list[tuple[Any, ...]]:
        words = list(self._code)
        return [() if code < 0 else (words[code],) for code in self._codes.tolist()]

    def numbers(self) -> NDArray[np.float64]:
        raise _no_numbers(self.kind)


class Lists:
    """Rows of each part, and the parts of each row."""

    kind: Kind = "list"

    def __init__(self, values: Sequence[Sequence[str] | None]) -> None:
        self._values = [tuple(dict.fromkeys(value)) if value is not None else () for value in values]
        rows: dict[str, list[int]] = {}
        for row, parts in enumerate(self._values):
            for part in parts:
                rows.setdefault(part, []).append(row)
        self._rows = {part: np.array(found, np.int32) for part, found in rows.items()}

    def matches(self, condition: Condition) -> NDArray[np.bool_]:
        _only_equality(condition, self.kind)
        found = np.zeros(len(self._values), bool)
        for value in condition.values:
            rows = self._rows.get(value)
            if rows is not None:
                found[rows] = True
        return _equal(found, condition)

    def groups(self) -> list[tuple[Any, ...]]:
        return list(self._values)

    def numbers(self) -> NDArray[np.float64]:
        raise _no_numbers(self.kind)


class Patched:
    """A column of the model's catalogue, with some rows as they were posted since."""

    def __init__(self, base: Column, rows: NDArray[np.int32], posted: Column) -> None:
        self.kind = base.kind
        self._base, self._rows, self._posted = base, rows, posted

    def matches(self, condition: Condition) -> NDArray[np.bool_]:
        found = self._base.matches(condition)
        found[self._rows] = self._posted.matches(condition)
        return found

    def groups(self) -> list[tuple[Any, ...]]:
        found = list(self._base.groups())
        for row, posted in zip(self._rows.tolist(), self._posted.groups(), strict=True):
            found[row] = posted
        return found

    def numbers(self) -> NDArray[np.float64]:
        found = self._base.numbers().copy()
        found[self._rows] = self._posted.numbers()
        return found


def places(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The place of each value among the known ones, from -.5 (the least) to .5 (the greatest), equal values at one
    place; unknown values stand in the middle, 0: float32[n]. Places know neither units nor outliers."""
    known = np.isfinite(values)
    found = np.zeros(len(values), np.float32)
    if known.any():
        _, place, counts = np.unique(values[known], return_inverse=True, return_counts=True)
        before = np.cumsum(counts) - counts
        found[known] = ((before + (counts - 1) / 2)[place] / max(1, known.sum() - 1)) - 0.5
    return found


def column_of(kind: Kind, values: Sequence[Any]) -> Column:
    """A column of a kind from one value an item; None, and values of another kind, are unknown."""
    fitting = [value if value is not None and kind_of(value) == kind else None for value in values]
    if kind == "number":
        return Numbers(np.array([np.nan if value is None else value for value in fitting], np.float64))
    if kind == "boolean":
        return Flags(np.array([-1 if value is None else value for value in fitting], np.int8))
    return Texts(fitting) if kind == "text" else Lists(fitting)


def _no_numbers(kind: Kind) -> InvalidFilter:
    return InvalidFilter(f"an objective by a {kind}", rule="it weighs a number or a boolean", fix="Name one, or boost")


def _number(condition: Condition, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise _unfit(condition, f"it is a number, and '{value[:40]}' is none", f"{condition.attribute}<=20")
    return number


def _equal(found: NDArray[np.bool_], condition: Condition) -> NDArray[np.bool_]:
    return ~found if condition.operator == "!=" else found


def _only_equality(condition: Condition, kind: Kind) -> None:
    if condition.operator in _ORDER:
        example = f"{condition.attribute}={condition.values[0]}"
        raise _unfit(condition, f"it is a {kind}, and {condition.operator} compares numbers and dates", example)


def _unfit(condition: Condition, rule: str, example: str) -> InvalidFilter:
    return InvalidFilter(f"filter '{str(condition)[:100]}'", rule=rule, fix=f"Write it as in {example[:100]}")
