"""What the columns of a file hold, from its first rows: ids, times, numbers, few words, what repeats what."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property, wraps
from typing import Any

import numpy as np
import pandas as pd

from recstage.data.tables.names import plain
from recstage.data.tables.table import TableFile
from recstage.data.tables.values.east_asian import SIGNS, in_iso
from recstage.data.tables.values.ids import NULLS
from recstage.data.tables.values.numbers import flags_of, grades_of, numbers
from recstage.data.tables.values.shown import shown
from recstage.data.tables.values.timestamps import FINER_UNITS, PARTS, RANKS, TIME_OF_DAY, unit_of

ENOUGH = 50  # rows from which "a different value in every row" says something
A_SENTENCE = 40  # characters
SINCE_1990, LATEST = 630_000_000, 2_100_000_000  # seconds: ids are larger than times, or smaller
NEARLY_ALL = 0.95  # of the rows have an id, where any column does
MOST_COMPARED = 50  # columns that a column is held against
IN_BRACKETS = re.compile(r"\[.*\]|\{\s*[\"'].*\}", re.DOTALL)
OF_A_BROWSER = r"\d{5,}\.\d{5,}"
"""Ids that Google Analytics gives browsers look like fractions."""
A_CODE = re.compile(r"[\w-]{0,12}\d[\w-]*")
MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
DATE = re.compile(
    SIGNS + r"|\s*(?:\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[./-]\d\d?[./-]\d{2,4}|\d{4}-(?:0[1-9]|1[0-2])$|(?:[a-z]{3,9},? +)?"
    rf"(?:\d\d?[-/ .]+{MONTH}[-/ .,]+(?:\d{{4}}|\d\d\b)|{MONTH}[-/ .]+\d\d?,? +(?:\d{{4}}|\d\d:)))",
    re.IGNORECASE,
)
USER_LETTERS = re.compile(r"(u|user|usr|c|cust|customer|client|k|kd|kunde|visitor|member|m_?id|p?erson)[-_ ]?\d+", re.I)
ITEM_LETTERS = re.compile(r"(i|item|p|prod|product|sku|art|artikel|article|movie|film|book|b0)[-_ ]?\w*\d+", re.I)
OF_A_VISIT = re.compile(
    r"(session|visit|order|invoice|transaction|receipt|ticket|row|line|index|review|bestell|rechnung|beleg)"
)
"""How columns begin that name no user and no item, but what they did or bought together."""
FLAGS = {"true", "false", "yes", "no", "ja", "nein", "0", "1", "t", "f", "y", "n"}


def _once(question: Callable[..., Any]) -> Callable[..., Any]:
    """A question about columns that is answered once: with many columns each is asked for each other one."""

    @wraps(question)
    def answered(self: Contents, *names: str) -> Any:
        key = (question.__name__, *names)
        if key not in self.answers:
            self.answers[key] = question(self, *names)
        return self.answers[key]

    return answered


class Contents:
    """Questions about the columns of a file by its first rows (`TableFile.rows`), or by more of them."""

    def __init__(self, file: TableFile, frame: pd.DataFrame | None = None) -> None:
        if frame is None:
            width = len(file.names)
            whole = [row for row in file.rows if len(row) == width] or [
                (*row, *[""] * width)[:width] for row in file.rows
            ]
            frame = pd.DataFrame(whole, columns=list(file.names), dtype=object)
        self._frame = frame.map(lambda v: None if v is None or str(v).strip() in NULLS else str(v).strip())
        self._frame.columns = list(file.names)
        self.answers: dict[tuple[str, ...], Any] = {}

    @property
    def names(self) -> list[str]:
        """The columns."""
        return list(map(str, self._frame.columns))

    def __len__(self) -> int:
        return len(self._frame)

    def given(self, name: str) -> pd.Series:
        """The values of a column that are there, as text."""
        return self._frame[name].dropna()

    def first(self, name: str) -> str:
        """Its first value, as messages show it."""
        some = self.given(name)
        return shown(some.iloc[0]) if len(some) else ""

    @_once
    def different(self, name: str) -> int:
        """How many different values it has."""
        return int(self.given(name).nunique())

    def words(self, name: str) -> list[str]:
        """Its different values, where they are words."""
        return [] if self.is_number(name) else list(map(str, self.given(name).unique()))

    def longest(self, name: str) -> int:
        """Characters of its longest value."""
        return max(map(len, self.given(name)), default=0)

    @_once
    def is_number(self, name: str) -> bool:
        """Whether nearly all values are numbers."""
        some = self.given(name)
        return bool(len(some)) and float(numbers(some).notna().mean()) > 0.9

    @_once
    def is_time(self, name: str) -> bool:
        """Whether nearly all values are dates, or numbers as large as times since 1970 are."""
        some = self.given(name)
        if not len(some):
            return False
        values = numbers(some)
        if values.notna().mean() > 0.9:
            unit = unit_of(values)
            return unit != RANKS and not self._looks_like_other_numbers(values, unit)
        return float(some.map(lambda v: DATE.match(v) is not None).mean()) > 0.9

    def _looks_like_other_numbers(self, values: pd.Series, unit: str) -> bool:
        """Few digits may be days since 1900 or years, and are more often prices, ids or years of something."""
        seconds = float(values.median()) / FINER_UNITS.get(unit, 1.0)
        return float(values.max()) < 1e7 or (unit in FINER_UNITS and not SINCE_1990 <= seconds <= LATEST)

    def may_be_time(self, name: str) -> bool:
        """Whether a column that is called like one of times can be one: dates, times of day or any numbers."""
        some = self.given(name)
        if not len(some) or self.is_time(name) or self.is_number(name):
            return True
        parsed = pd.to_datetime(in_iso(some), errors="coerce", utc=True, format="mixed")
        return bool(some.str.match(TIME_OF_DAY).any() or some.str.match(PARTS).any() or parsed.notna().mean() > 0.2)

    def is_time_of_day(self, name: str) -> bool:
        """Whether all values are times of day."""
        some = self.given(name)
        return bool(len(some)) and bool(some.str.match(TIME_OF_DAY).all())

    def is_flag(self, name: str) -> bool:
        """Whether all values are yes or no."""
        return flags_of(self.given(name)) is not None

    def is_zero_or_one(self, name: str) -> bool:
        """Whether all values are 0 or 1."""
        return set(numbers(self.given(name)).unique()) <= {0.0, 1.0}

    def is_grade(self, name: str) -> bool:
        """Whether all values are grades in words or stars."""
        return grades_of(self.given(name)) is not None

    def is_scale(self, name: str) -> bool:
        """Whether values are a few small numbers, as grades are, and say more than a user or an item alone does."""
        values = numbers(self.given(name))
        few = 3 <= int(values.nunique()) <= 21 and bool((values * 2 % 1 == 0).all())
        small = few and float(values.min()) >= 0 and float(values.max()) <= 10
        return small and not self.is_attribute(name) and not self.is_position(name)

    @_once
    def list_mark(self, name: str) -> str:
        """What parts the lists that the values of a column are: a mark, "[" for a list of JSON, or nothing. Lists hold
        different numbers of parts, which keys of several parts (SKU|red) do not."""
        some = self.given(name).head(200)
        if len(some) < 2 or self.is_time(name) or self.is_number(name):
            return ""
        if float(some.map(lambda v: IN_BRACKETS.fullmatch(v) is not None).mean()) > 0.8:
            return "["
        for mark in "|;, ":
            parts = some.map(lambda v, mark=mark: [one for one in v.split(mark) if one.strip()])
            several = parts[parts.map(len) > 1]
            if len(several) < 0.2 * len(some) or parts.map(len).nunique() < 2:
                continue
            known = parts.explode().value_counts()
            often = several.explode().map(known).gt(1).mean()
            codes = (
                mark not in ", "
                or several.explode().map(lambda v: A_CODE.fullmatch(v.strip()) is not None).mean() > 0.9
            )
            if often > 0.5 and codes:
                return mark
        return ""

    @_once
    def is_position(self, name: str) -> bool:
        """Whether numbers count 0, 1, 2, ... (or 1, 2, ...) and begin again: places in a basket or a session."""
        values = numbers(self.given(name)).to_numpy(np.float64)
        if len(values) < ENOUGH or not np.isfinite(values).all() or (values % 1 != 0).any():
            return False
        begins = values[1:] == values.min()
        counts = (np.diff(values) == 1) | begins
        return bool(values.min() in (0, 1) and values.max() > 1 and begins.any() and counts.mean() > 0.95)

    def are_lists(self, name: str, marks: str = ";|,") -> bool:
        """Whether values are lists: several words each, parted alike by one of the marks."""
        some = self.given(name).head(200)
        if self.list_mark(name):
            return True
        parted = [some.map(lambda v, mark=mark: v.count(mark) > 0) for mark in marks]
        return len(some) > 1 and any(float(one.mean()) > 0.8 for one in parted) and float(some.str.len().mean()) > 8

    @_once
    def is_year(self, name: str) -> bool:
        """Whether all values are years."""
        values = numbers(self.given(name))
        return bool(len(values)) and bool(((values % 1 == 0) & values.between(1900, 2100)).all())

    def are_types(self, name: str, most: int) -> bool:
        """Whether values are few words."""
        return 0 < len(self.words(name)) <= min(most, max(len(self) // 3, 2))

    @_once
    def may_be_id(self, name: str) -> bool:
        """Whether values can name users or items: neither times, nor truth values, nor fractions, nor sentences."""
        some = self.given(name)
        if (
            len(some) * 2 < len(self)
            or self.is_time(name)
            or self.are_lists(name, ";|")
            or {v.lower() for v in some.unique()} <= FLAGS
        ):
            return False
        values = numbers(some)
        fractions = bool((values.dropna() % 1 != 0).any()) and not some.str.fullmatch(OF_A_BROWSER).all()
        return not fractions and float(some.str.len().mean()) < A_SENTENCE

    def ids(self, names: Sequence[str], known: Sequence[str]) -> list[str]:
        """Columns that may hold ids, the likeliest first: not one value a row, no attribute of another column."""
        possible = [name for name in names if self.may_be_id(name)]
        full = [name for name in possible if len(self.given(name)) >= NEARLY_ALL * len(self)]
        possible = self._without_visits(full if len(full) + len(known) > 1 else possible, len(known))
        numbered = [name for name in possible if len(self) >= ENOUGH and self.different(name) == len(self.given(name))]
        possible = [name for name in possible if name not in numbered] or possible
        free = [name for name in possible if not any(self.determines(other, name) for other in known)]
        free = (
            sorted(free, key=lambda name: -self.different(name))[:MOST_COMPARED] if len(free) > MOST_COMPARED else free
        )
        chosen = [
            name
            for name in free
            if not any(self.determines(other, name) for other in free if other != name and self._before(other, name))
        ]
        ranked = sorted(chosen, key=lambda name: -self.different(name))
        top = {*ranked[: 2 - min(len(known), 1)]}
        return [name for name in chosen if name in top] + [name for name in chosen if name not in top]

    def _without_visits(self, possible: list[str], known: int) -> list[str]:
        """Without places in a basket and numbers of orders, as long as that leaves users and items."""
        usual = [name for name in possible if not OF_A_VISIT.match(plain(name))]
        for some in (usual, possible):
            left = [name for name in some if not self.is_position(name)]
            if len(left) + known > 1:
                return left
        return usual or possible

    def _before(self, other: str, name: str) -> bool:
        """Whether `other` is the id where each determines the other: the one that is finer, else the one that comes
        first."""
        columns = list(self._frame.columns)
        return self.different(other) > self.different(name) or (
            self.different(other) == self.different(name) and columns.index(other) < columns.index(name)
        )

    @_once
    def determines(self, one: str, other: str) -> bool:
        """Whether each value of `one` that repeats goes with one value of `other`."""
        codes, others = self._codes[one], self._codes[other]
        known = (codes >= 0) & (others >= 0)
        codes, others = codes[known], others[known]
        if not len(codes) or len(np.unique(codes)) > 0.9 * len(codes):
            return False
        pairs = np.unique(codes.astype(np.int64) * (int(others.max()) + 1) + others)
        return len(pairs) == len(np.unique(codes))

    @_once
    def is_attribute(self, name: str) -> bool:
        """Whether another column with more different values decides this one: a year of a movie, a kind of product."""
        others = [one for one in self._frame if one != name and self.different(str(one)) >= self.different(name)]
        others = [one for one in others if self.may_be_id(str(one))][:MOST_COMPARED]
        return any(self.may_be_id(str(one)) and self.determines(str(one), name) for one in others)

    @cached_property
    def _codes(self) -> dict[str, np.ndarray]:
        return {str(name): pd.factorize(self._frame[name])[0] for name in self._frame}

    def looks_like_users(self, name: str) -> bool:
        """Whether values are written as ids of users often are: u17, an address of mail."""
        some = self.given(name).head(200)
        return bool(len(some)) and float(some.map(lambda v: "@" in v or bool(USER_LETTERS.fullmatch(v))).mean()) > 0.9

    def looks_like_items(self, name: str) -> bool:
        """Whether values are written as ids of items often are: p17, an address of a page, a bar code."""
        some = self.given(name).head(200)
        likely = some.map(lambda v: v.startswith(("http", "/")) or bool(ITEM_LETTERS.fullmatch(v)) or len(v) == 13)
        return bool(len(some)) and float(likely.mean()) > 0.9 and not self.looks_like_users(name)


def named_alike(one: str, other: str) -> bool:
    """Whether two columns have one name but for case, blanks and marks."""
    return plain(one) == plain(other)
