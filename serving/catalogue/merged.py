"""One catalogue: what was posted to the service, over what the served version was trained with.

Of each item, a field of the service's own catalogue counts where it is not empty, else that of the version's.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from serving.errors import Problem
from serving.interfaces import OwnCatalogue, OwnItem
from serving.models.loaded_model import LoadedModel

EARLIEST_DATE = 100_000_000
"""Seconds since 1970: smaller timestamps of a data set are ranks in time, no dates."""
NO_ITEM = OwnItem()
MODELS_KEPT = 3
"""The Production version, the fallback models, and one more while versions are swapped."""
NEAR, SHOWN = 3, 10
"""Near spellings of a name, and names, that a message holds at most."""


class TrainedCatalogue:
    """The catalogue of a loaded model by id; made once for each model."""

    def __init__(self, served: LoadedModel | None) -> None:
        self._served = served
        self.item_ids: Sequence[str] = () if served is None else served.item_ids

    def of(self, served: LoadedModel | None) -> bool:
        """Whether this is the catalogue of a loaded model; one promoted again has the same."""
        mine = None if self._served is None else self._served.catalogue
        return mine is (None if served is None else served.catalogue)

    def find(self, item_id: str) -> int:
        """The index of an item, -1 where the model does not know it."""
        return -1 if self._served is None else self._served.train.items.find(item_id)

    def title(self, index: int) -> str:
        assert self._served is not None
        return self._served.titles[index]

    def text(self, index: int) -> str:
        assert self._served is not None
        return str(self._served.catalogue.texts[index])

    def categories(self, index: int) -> tuple[str, ...]:
        assert self._served is not None
        return self._served.catalogue.categories[index]

    def available(self, index: int) -> bool:
        return self._served is None or bool(self._served.catalogue.available[index])

    @cached_property
    def by_category(self) -> Mapping[str, frozenset[str]]:
        """Ids of the available items of each category."""
        found: dict[str, set[str]] = {}
        for index, item_id in enumerate(self.item_ids):
            if self.available(index):
                for name in self.categories(index):
                    found.setdefault(name, set()).add(item_id)
        return {name: frozenset(ids) for name, ids in found.items()}

    @cached_property
    def unavailable(self) -> frozenset[str]:
        return frozenset(item_id for index, item_id in enumerate(self.item_ids) if not self.available(index))

    @cached_property
    def first_seen(self) -> NDArray[np.int64]:
        """When each item was first interacted with, milliseconds since 1970, 0 where no time is known: int64[n].

        Of models fitted on the service's own events none is: an event alone does not make an item known.
        """
        if self._served is None or self._served.source is None or not len(self._served.train.timestamp):
            return np.zeros(len(self.item_ids), np.int64)
        train = self._served.train
        first = np.full(len(self.item_ids), np.iinfo(np.int64).max)
        np.minimum.at(first, train.item_index, train.timestamp)
        return np.where((first >= EARLIEST_DATE) & (first < np.iinfo(np.int64).max), first * 1000, 0)

    @cached_property
    def by_popularity(self) -> list[tuple[str, float]]:
        """Items and their popularity in training, most popular first; ties by id."""
        if self._served is None:
            return []
        shares = self._served.popularity.tolist()
        return sorted(zip(self.item_ids, shares, strict=True), key=lambda one: (-one[1], one[0]))


class MergedCatalogue:
    """The catalogue at one version of the service's own and one loaded model."""

    def __init__(self, trained: TrainedCatalogue, own: OwnCatalogue, key: str) -> None:
        """`key` names the loaded model."""
        self._trained, self._own = trained, own
        self.key = (key, own.revision)
        self.changed_titles = {item_id: one.title for item_id, one in own.items.items() if one.title}
        """Titles that the service's own catalogue gives."""

    def title(self, item_id: str) -> str:
        own = self.changed_titles.get(item_id, "")
        index = -1 if own else self._trained.find(item_id)
        return own if index < 0 else self._trained.title(index)

    def text(self, item_id: str) -> str:
        """The text in the version's catalogue; that of the service's own is not kept in memory."""
        index = self._trained.find(item_id)
        return "" if index < 0 else self._trained.text(index)

    def categories(self, item_id: str) -> tuple[str, ...]:
        own = self._own.items.get(item_id, NO_ITEM).categories
        index = -1 if own else self._trained.find(item_id)
        return own if index < 0 else self._trained.categories(index)

    def updated_at(self, item_id: str) -> int:
        """When the service's own catalogue last changed an item, milliseconds since 1970."""
        return self._own.items.get(item_id, NO_ITEM).updated_at

    def describes(self, item_id: str) -> bool:
        """Whether the service's own catalogue says anything of an item."""
        return item_id in self._own.items

    def knows(self, item_id: str) -> bool:
        return item_id in self._own.items or self._trained.find(item_id) >= 0

    @property
    def unavailable(self) -> frozenset[str]:
        """Items that the version's catalogue says are unavailable."""
        return self._trained.unavailable

    @property
    def by_popularity(self) -> list[tuple[str, float]]:
        """Items and their popularity in training, most popular first."""
        return self._trained.by_popularity

    # -- categories ---------------------------------------------------------------------------------------------------

    @cached_property
    def _own_by_category(self) -> tuple[frozenset[str], Mapping[str, frozenset[str]]]:
        """Items whose categories the service's own catalogue gives, and those of each category."""
        found: dict[str, set[str]] = {}
        described = {item_id: one.categories for item_id, one in self._own.items.items() if one.categories}
        for item_id, names in described.items():
            for name in names:
                found.setdefault(name, set()).add(item_id)
        return frozenset(described), {name: frozenset(ids) for name, ids in found.items()}

    def in_category(self, name: str) -> frozenset[str]:
        """Ids of the items of a category."""
        described, own = self._own_by_category
        trained = self._trained.by_category.get(name, frozenset())
        return (trained - described if described else trained) | own.get(name, frozenset())

    def in_categories(self, names: Iterable[str]) -> frozenset[str]:
        """Ids of the items with any of the categories."""
        return frozenset().union(*(self.in_category(name) for name in names))

    @cached_property
    def category_names(self) -> frozenset[str]:
        return frozenset(self._trained.by_category) | frozenset(self._own_by_category[1])

    def counts(self, hidden: Collection[str]) -> list[tuple[str, int]]:
        """Each category with its number of items, hidden ones left out; most items first."""
        found = [(name, len(self.in_category(name).difference(hidden))) for name in self.category_names]
        return sorted(found, key=lambda one: (-one[1], one[0]))

    def check_categories(self, names: Iterable[str]) -> None:
        """Raise a 422 problem that names near spellings where no item has one of the categories."""
        for name in names:
            if name not in self.category_names:
                raise Problem(422, "unknown-category", f"No item has the category '{name[:80]}'. {self._near(name)}")

    def _near(self, name: str) -> str:
        """What may have been meant."""
        near = difflib.get_close_matches(name, self.category_names, n=NEAR, cutoff=0.5)
        if near:
            return f"Did you mean {' or '.join(repr(one) for one in near)}?"
        few = [one for one, _ in self.counts(())[:SHOWN]]
        return f"There are {', '.join(few)}; GET /api/categories lists all." if few else "No item has a category here."

    # -- time ---------------------------------------------------------------------------------------------------------

    @cached_property
    def latest(self) -> list[tuple[str, int]]:
        """Items and when they were first known (milliseconds since 1970), latest first; without a time they are left
        out. An item is as old as its first interaction in training or its place in the service's catalogue."""
        first = dict(zip(self._trained.item_ids, self._trained.first_seen.tolist(), strict=True))
        for item_id, one in self._own.items.items():
            trained = first.get(item_id, 0)
            first[item_id] = min(trained, one.created_at) if trained else one.created_at
        return sorted(((item_id, at) for item_id, at in first.items() if at), key=lambda one: (-one[1], one[0]))

    @cached_property
    def new_item_ids(self) -> list[str]:
        """Items of the service's own catalogue that the version was not trained on, latest first."""
        found = [item_id for item_id in self._own.items if self._trained.find(item_id) < 0]
        return sorted(found, key=lambda item_id: (-self._own.items[item_id].created_at, item_id))


class MergedCatalogues:
    """Keeps the merged catalogue of each of the last models until either side changes."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[TrainedCatalogue, MergedCatalogue]] = {}

    def of(self, served: LoadedModel | None, own: OwnCatalogue) -> MergedCatalogue:
        """The catalogue for a loaded model (None: none is served) and a state of the service's own."""
        key = "" if served is None else served.key
        kept = self._kept.get(key)
        if kept is not None and kept[0].of(served):
            if kept[1].key == (key, own.revision):
                return kept[1]
            trained = kept[0]
        else:
            trained = TrainedCatalogue(served)
        merged = MergedCatalogue(trained, own, key)
        self._kept.pop(key, None)
        while len(self._kept) >= MODELS_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (trained, merged)
        return merged
