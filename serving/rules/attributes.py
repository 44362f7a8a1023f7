"""The attributes of a loaded model's items, and the items that a filter matches.

Besides the attributes of the catalogue there are `category` (list), `title` and `item_id` (text), and `age_days`
(number): days since the item was first known, by its first training interaction or by when it was posted. Items that
were posted to the service since the model was trained (`PostedItems`) count as they were posted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions
from recstage.errors import valid_names
from serving.rules.columns import Column, Kind, Numbers, Patched, Value, column_of, kind_of
from serving.rules.query import Filter, InvalidFilter, references

AGE, CATEGORY = "age_days", "category"
ALIASES = {"categories": CATEGORY}
BUILT_IN: Mapping[str, Kind] = {CATEGORY: "list", "title": "text", "item_id": "text", AGE: "number"}
FITTING: Mapping[Kind, str] = {"number": "0", "boolean": "true", "text": "2000-01-01", "list": "a"}
"""A value of each kind that every operator of the kind takes."""
DAY, HOUR = 86_400.0, 3_600.0
MAX_MASKS = 256
"""Masks of filters that are kept for each loaded model."""


@dataclass(frozen=True, slots=True)
class PostedItem:
    """What the service's own catalogue says of an item; `added_at` in seconds since 1970."""

    added_at: float
    categories: tuple[str, ...] = ()
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PostedItems:
    """The items of the service's own catalogue by id; `version` changes whenever they do."""

    items: Mapping[str, PostedItem] = field(default_factory=dict)
    version: int = 0

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each attribute, as the first item that has it says."""
        found: dict[str, Kind] = {}
        for item in self.items.values():
            for name, value in item.attributes.items():
                found.setdefault(name, kind_of(value))
        return found


NOTHING_POSTED = PostedItems()


class CatalogueColumns:
    """The columns of a model's catalogue, each made when it is first needed."""

    def __init__(self, catalogue: Catalogue, train: Interactions) -> None:
        self.catalogue = catalogue
        self.kinds: dict[str, Kind] = {**catalogue.attribute_kinds, **BUILT_IN}  # type: ignore[dict-item]
        self._train = train
        self._columns: dict[str, Column] = {}

    def column(self, name: str) -> Column:
        """The column of an attribute of `kinds`, other than `age_days`."""
        found = self._columns.get(name)
        if found is None:
            found = self._columns[name] = column_of(self.kinds[name], self._values(name))
        return found

    def _values(self, name: str) -> Sequence[Any]:
        catalogue = self.catalogue
        if name == CATEGORY:
            return catalogue.categories
        if name == "item_id":
            return [str(one) for one in catalogue.items.ids]
        if name == "title":
            return [title or None for title in catalogue.titles]
        column = catalogue.attributes[name]
        known = column.notna().to_numpy()
        values = column.to_numpy(object)
        return [_plain(value) if is_known else None for value, is_known in zip(values, known, strict=True)]

    @cached_property
    def first_seen(self) -> NDArray[np.float64]:
        """When each item was first interacted with, seconds since 1970: float64[n_items], inf where it never was."""
        first = np.full(len(self.catalogue.items), np.inf)
        np.minimum.at(first, self._train.item_index, self._train.timestamp.astype(np.float64))
        return first


class ItemAttributes:
    """The attributes of a model's items, as trained and as posted since."""

    def __init__(self, columns: CatalogueColumns, posted: PostedItems = NOTHING_POSTED) -> None:
        self._base, self._posted = columns, posted
        index = columns.catalogue.items.index_of(list(posted.items)) if posted.items else np.array([], np.int32)
        known = index >= 0
        self._rows: NDArray[np.int32] = index[known]
        self._items = [item for item, is_known in zip(posted.items.values(), known, strict=True) if is_known]
        self.kinds: dict[str, Kind] = {**posted.kinds, **columns.kinds}
        self._columns: dict[str, Column] = {}
        self._masks: dict[tuple[Filter, int], NDArray[np.bool_]] = {}

    def __len__(self) -> int:
        return len(self._base.catalogue.items)

    def mask(self, wanted: Filter, now: float | None = None) -> NDArray[np.bool_]:
        """Items that all conditions match at `now` (seconds since 1970): bool[n_items], read-only.

        Raises `InvalidFilter` on an unknown attribute, or one of a kind that a condition does not fit.
        """
        hour = self._hour(wanted, now)
        found = self._masks.get((wanted, hour))
        if found is None:
            found = np.ones(len(self), bool)
            for condition in wanted.conditions:
                found &= self.column(condition.attribute, hour).matches(condition)
            found.flags.writeable = False
            if len(self._masks) >= MAX_MASKS:
                self._masks.clear()
            self._masks[(wanted, hour)] = found
        return found

    def check(self, wanted: Filter) -> None:
        """Raise `InvalidFilter` where the filter does not fit these attributes, whatever `@profile.NAME` and
        `@context.NAME` stand for."""
        for one in wanted.conditions:
            column = self.column(one.attribute)
            column.matches(replace(one, values=(FITTING[column.kind],)) if references([Filter((one,))]) else one)

    def knows(self, wanted: Filter) -> bool:
        """Whether items have every attribute that the filter names."""
        return all(ALIASES.get(one.attribute, one.attribute) in self.kinds for one in wanted.conditions)

    def column(self, name: str, hour: int = 0) -> Column:
        """The column of an attribute; `hour`: since 1970, for `age_days`. Raises `InvalidFilter` on an unknown name."""
        name = ALIASES.get(name, name)
        if name == AGE:
            return Numbers(self._ages(hour * HOUR))
        found = self._columns.get(name)
        if found is None:
            found = self._columns[name] = self._patched(self._checked(name))
        return found

    def _checked(self, name: str) -> str:
        if name not in self.kinds:
            raise InvalidFilter(f"attribute '{name[:80]}'", rule="no item has it", fix=valid_names(name, self.kinds))
        return name

    def _patched(self, name: str) -> Column:
        kind = self.kinds[name]
        base = self._base.column(name) if name in self._base.kinds else column_of(kind, [None] * len(self))
        if name in ("title", "item_id"):
            return base
        said = [item.categories or None if name == CATEGORY else item.attributes.get(name) for item in self._items]
        places = [i for i, value in enumerate(said) if value is not None]
        if not places:
            return base
        return Patched(base, self._rows[places], column_of(kind, [said[i] for i in places]))

    def _ages(self, now: float) -> NDArray[np.float64]:
        first = self._base.first_seen.copy()
        added = np.array([item.added_at for item in self._items], np.float64)
        first[self._rows] = np.minimum(first[self._rows], added)
        ages = np.maximum(0.0, now - first) / DAY
        return np.where(np.isfinite(first), ages, np.nan)

    @staticmethod
    def _hour(wanted: Filter, now: float | None) -> int:
        """The hour that ages are counted to; 0 where the filter asks for none, so that its mask is kept."""
        if not uses_age(wanted):
            return 0
        return int((time.time() if now is None else now) // HOUR)


def uses_age(wanted: Filter) -> bool:
    """Whether what a filter matches changes with the time."""
    return any(condition.attribute == AGE for condition in wanted.conditions)


def _plain(value: Any) -> Value:
    """A value of a catalogue as the columns take it."""
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(map(str, value))
    if isinstance(value, bool | np.bool_):
        return bool(value)
    return float(value) if isinstance(value, int | float | np.number) else str(value)
