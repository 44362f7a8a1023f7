"""Declared attributes as features: the value itself, and crossed with the candidate and its categories.

A crossed feature is the log of how much more often users (or moments) with this value liked the item than all did,
smoothed towards 0: a target encoding of the pair of value and item, counted on the rows before the labels alone
(Micci-Barreca 2001). Values that training had too few of, or never, are missing (NaN).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import Interactions, Users
from recstage.data.tables.values.columns import Columns
from recstage.errors import ConfigError, valid_names
from recstage.models.features.attributes.values import Values
from recstage.models.features.candidates import Candidates
from recstage.models.features.group import Group, Past, ratio, stacked
from recstage.models.moment import CONTEXT_KEY, PROFILE_KEY, context_of

SMOOTHING = 10.0
"""Likes by chance that every crossed count is mixed with."""


class AttributesGroup(Group):
    """Three features for each of the `names`."""

    key: str
    what: str
    where: str
    """Where its values come from, as the fix of an error."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.features = {
            label: text
            for name in self.names
            for label, text in (
                (f"{self.name}_{name}", f"{self.what} {name}: the number, or the place of its value by frequency"),
                (
                    f"{self.name}_{name}_item",
                    f"log of how much more often it is liked with this {name} than by all",
                ),
                (f"{self.name}_{name}_category", "the same of the candidate's categories, mean over them"),
            )
        }
        self._values: dict[str, Values] = {}

    @abstractmethod
    def of_rows(self, rows: Interactions) -> tuple[Columns, NDArray[np.integer]]:
        """The columns that values are learnt from, and which of their entries each row has: int[n]."""

    def learn(self, past: Past) -> None:
        """Raises `ConfigError` on an attribute that the data does not have."""
        columns, entry = self.of_rows(past.rows)
        for name in self.names:
            if name not in columns:
                raise ConfigError(
                    f"{self.what} {name}",
                    rule="the data set says nothing of it",
                    fix=valid_names(name, columns) if columns else self.where,
                )
        liked = past.rows.weight > 0
        item = past.rows.item_index[liked]
        arrays: dict[str, NDArray] = {}
        for name in self.names:
            values = Values.learn(columns[name])
            arrays |= {f"{name}.{key}": array for key, array in values.state().items()}
            band = values.bands(values.numbers(columns[name]))
            kept = self.kept_values(values.numbers(columns[name]))
            if kept is not None:
                arrays[f"{name}.known"] = kept
            of_row = band[entry[liked]]
            known = of_row >= 0
            shape = (values.n_bands, past.rows.n_items)
            counts = sparse.csr_matrix((np.ones(known.sum(), np.float32), (of_row[known], item[known])), shape=shape)
            arrays[f"{name}.items"] = lifts(counts.toarray())
            arrays[f"{name}.categories"] = lifts((counts @ past.catalogue.category_matrix).toarray())
        matrix = past.catalogue.category_matrix
        self.load({**arrays, "indptr": matrix.indptr.astype(np.int64), "category": matrix.indices.astype(np.int32)})

    def kept_values(self, numbers: NDArray[np.float64]) -> NDArray[np.float32] | None:
        """What of the learnt values serving needs: those of trained users; None: nothing."""
        return None

    def load(self, arrays: dict[str, NDArray]) -> None:  # type: ignore[override]
        super().load(arrays)
        self._values = {name: Values.from_state(self.arrays, f"{name}.") for name in self.names}

    def known(self, users: Users, name: str) -> NDArray[np.float64]:
        """Each user's value as training left it, NaN where there is none: float64[n]."""
        return np.full(len(users), np.nan)

    def unlearned(self, given: Columns) -> list[str]:
        keys = {f"{self.key}{name}": name for name in self.names}
        return [
            key
            for key, name in keys.items()
            if key in given and bool(np.isnan(self._values[name].numbers(given[key])).any())
        ]

    def has_any(self, users: Users) -> NDArray[np.bool_]:
        """Users of whom any value is known: bool[n]."""
        return np.any([self._band(users, name)[1] >= 0 for name in self.names], axis=0)

    def lifts_of(self, users: Users) -> NDArray[np.float32]:
        """The crossed counts of each item, summed over the attributes that are known: float32[n, n_items]."""
        total = np.zeros((len(users), self.arrays[f"{self.names[0]}.items"].shape[1]), np.float32)
        for name in self.names:
            band = self._band(users, name)[1]
            total += np.where((band >= 0)[:, None], self.arrays[f"{name}.items"][np.maximum(band, 0)], 0)
        return total

    def _band(self, users: Users, name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The value of each user, as a number and as the band that is crossed: of the request, else of training."""
        values, number = self._values[name], self.known(users, name)
        given = users.given.get(f"{self.key}{name}")
        if given is not None:
            asked = values.numbers(given)
            number = np.where(np.isnan(asked), number, asked)
        return number, values.bands(number)

    def compute(self, candidates: Candidates) -> NDArray[np.float32]:
        users, row, item = candidates.users, candidates.row, candidates.item
        columns: list[NDArray] = []
        starts, tagged, category, lengths = self._categories(item)
        for name in self.names:
            number, bands = self._band(users, name)
            band = bands[row]
            known = band >= 0
            of_item = np.where(known, self.arrays[f"{name}.items"][np.maximum(band, 0), item], np.nan)
            of_category = np.full(len(item), np.nan)
            if len(category):
                each = self.arrays[f"{name}.categories"][np.repeat(np.maximum(band[tagged], 0), lengths), category]
                of_category[tagged] = np.where(known[tagged], np.add.reduceat(each, starts) / lengths, np.nan)
            columns += [number[row], of_item, of_category]
        return stacked(columns, len(item))

    def _categories(
        self, item: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
        """Of the items with categories: where each one's begin, their places in `item`, the categories, how many."""
        indptr = self.arrays["indptr"]
        lengths = indptr[item + 1] - indptr[item]
        tagged = np.flatnonzero(lengths)
        lengths, first = lengths[tagged], indptr[item[tagged]]
        starts = np.cumsum(lengths) - lengths
        entries = np.arange(lengths.sum()) + np.repeat(first - starts, lengths)
        return starts, tagged, self.arrays["category"][entries], lengths


class ProfileAttributes(AttributesGroup):
    """Attributes of the user: those of a request, else of training."""

    name = "profile"
    key, what = PROFILE_KEY, "user attribute"
    where = "Give a users file (source.users_path), profiles of the service, or name none (user_attributes)"

    def of_rows(self, rows: Interactions) -> tuple[Columns, NDArray[np.integer]]:
        return rows.profiles, rows.user_index

    def kept_values(self, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        return numbers.astype(np.float32)

    def known(self, users: Users, name: str) -> NDArray[np.float64]:
        trained, rows = self.arrays[f"{name}.known"], users.profile_rows
        return np.where(rows >= 0, trained[np.maximum(rows, 0)], np.nan).astype(np.float64)


class ContextAttributes(AttributesGroup):
    """Attributes of the request, which nothing but the request knows."""

    name = "request"
    key, what = CONTEXT_KEY, "context"
    where = "Send `context` with events, map it (source.context), or name none (context)"

    def of_rows(self, rows: Interactions) -> tuple[Columns, NDArray[np.integer]]:
        return context_of(rows), np.arange(len(rows))


def lifts(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """log of (count + s) / (expected + s), the expectation by row and column totals: float32 of the same shape."""
    total = counts.sum()
    expected = ratio(counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True), total)
    expected = np.nan_to_num(expected)
    return np.log((counts + SMOOTHING) / (expected + SMOOTHING)).astype(np.float32)
