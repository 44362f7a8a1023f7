"""One version, loaded and ready to answer; every request takes one reference to it and answers from nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage import bundle, rerank
from recstage.bundle import Manifest
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions, Users
from recstage.models.base import Recommender
from recstage.models.content.model import Content
from serving.interfaces import HiddenItems, History
from serving.models.repository import ProductionVersion
from serving.models.user import UserContext


@dataclass(frozen=True, eq=False)
class ModelSource:
    """Where a served version comes from."""

    staged: ProductionVersion
    manifest: Manifest


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """Verified models over one set of ids, and what answering needs beside them, prepared once.

    `chain`: who is asked, in this order, until one can score the person; popularity follows the last. `methods`: every
    model by its name, for requests that choose. `source` is None for models made from the service's own data.
    """

    key: str
    """Names the version among all that this service may ever serve: answers are cached by it."""
    algorithm: str
    chain: tuple[Recommender, ...]
    methods: Mapping[str, Recommender]
    train: Interactions
    catalogue: Catalogue
    popularity: NDArray[np.float32]
    item_ids: Sequence[str]
    titles: Sequence[str]
    item_similarity: rerank.ItemVectors
    """Vectors of length one whose cosine says how alike two items are: float32[n_items, d]."""
    swapped_at: datetime
    source: ModelSource | None = None
    slow: bool = False
    """Whether one list takes so long that it is made in a thread, for the event loop's sake."""
    _excluded: dict[int, NDArray[np.bool_]] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, staged: ProductionVersion, now: datetime) -> LoadedModel:
        """Read a bundle, check every digest and the golden answers. Raises `BundleError`."""
        loaded = bundle.load(staged.folder)
        bundle.verify_answers(loaded)
        model = loaded.model
        return cls(
            key=f"{staged.name}/{staged.version}",
            algorithm=loaded.manifest.algorithm,
            chain=(model,),
            methods={one.name: one for one in _family(model)},
            train=model.train_,
            catalogue=model.catalogue_,
            popularity=model.popularity_,
            item_ids=model.items.ids.tolist(),
            titles=_titles(model.catalogue_),
            item_similarity=rerank.vectors_of(model),
            swapped_at=now,
            source=ModelSource(staged, loaded.manifest),
        )

    @classmethod
    def own(cls, key: str, models: Sequence[Recommender], train: Interactions, catalogue: Catalogue) -> LoadedModel:
        """Models fitted to the service's own data, asked in the order given."""
        if models:
            item_similarity = rerank.vectors_of(models[0], catalogue)
        else:
            item_similarity = rerank.ItemVectors("categories", rerank.unit_rows(catalogue.category_matrix.toarray()))
        return cls(
            key=key,
            algorithm="own data",
            chain=tuple(models),
            methods={model.name: model for model in models},
            train=train,
            catalogue=catalogue,
            popularity=(train.item_counts / max(1, train.item_counts.max(initial=0))).astype(np.float32),
            item_ids=train.items.ids.tolist(),
            titles=_titles(catalogue),
            item_similarity=item_similarity,
            swapped_at=datetime.now(UTC),
            slow=True,
        )

    @property
    def version(self) -> str | None:
        return None if self.source is None else self.source.staged.version

    def restaged(self, staged: ProductionVersion) -> LoadedModel:
        """The same version, promoted anew."""
        assert self.source is not None
        return replace(self, source=replace(self.source, staged=staged))

    @property
    def content(self) -> Content | None:
        """The model of it that knows items by their text and categories."""
        found = self.methods.get(Content.name)
        return found if isinstance(found, Content) else None

    def popularity_alone(self) -> LoadedModel:
        """What is left when no model of it may speak."""
        return replace(
            self, key=f"{self.key}/popularity", algorithm="popularity", chain=(), methods={}, source=None, slow=False
        )

    # -- items --------------------------------------------------------------------------------------------------------

    @cached_property
    def _in_category(self) -> tuple[Mapping[str, int], sparse.csc_matrix]:
        names = {name: column for column, name in enumerate(self.catalogue.category_names)}
        return names, self.catalogue.category_matrix.tocsc()

    def category_names(self) -> Sequence[str]:
        return self.catalogue.category_names

    def in_categories(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Which items have any of the categories: bool[n_items]. Names that are none are skipped."""
        columns, matrix = self._in_category
        chosen = np.zeros(len(self.train.items), bool)
        for name in names:
            column = columns.get(name)
            if column is not None:
                chosen[matrix.indices[matrix.indptr[column] : matrix.indptr[column + 1]]] = True
        return chosen

    def excluded(self, hidden: HiddenItems) -> NDArray[np.bool_]:
        """What nobody may be shown now: unavailable in the bundle's catalogue, or hidden since: bool[n_items], not to
        be written to."""
        known = self._excluded.get(hidden.version)
        if known is None:
            known = ~self.catalogue.available
            index = self.train.items.index_of(list(hidden.item_ids))
            known[index[index >= 0]] = True
            self._excluded.clear()
            self._excluded[hidden.version] = known
        return known

    # -- people -------------------------------------------------------------------------------------------------------

    def trained(self, user_id: str) -> Users:
        """One person as training saw him; a stranger has index -1 and no history."""
        train = self.train
        index = train.users.find(user_id)
        if index < 0:
            return Users.unknown(train.n_items)
        rows = slice(int(train.indptr[index]), int(train.indptr[index + 1]))
        return Users(
            np.array([index], np.int32),
            np.array([0, rows.stop - rows.start], np.int64),
            train.item_index[rows],
            train.weight[rows],
            train.timestamp[rows],
            train.n_items,
        )

    def nobody(self) -> UserContext:
        """Somebody of whom nothing is known, or may be used."""
        unknown = Users.unknown(self.train.n_items)
        return UserContext(unknown, unknown)

    def person(self, user_id: str, history: History) -> UserContext:
        """One person: what training saw and, over it, the live history. For people who opted out, nobody."""
        if not history.personal:
            return self.nobody()
        trained = Users.unknown(self.train.n_items) if history.forgotten else self.trained(user_id)
        users = self._merged(trained, history) if history.item_ids else trained
        return UserContext(users, trained, history.categories)

    def _merged(self, trained: Users, history: History) -> Users:
        """The training rows with the live ones over them, oldest first; `trained` itself where they say nothing new."""
        found = self.train.items.index_of(history.item_ids)
        met = found >= 0
        items = found[met]
        weights = np.asarray(history.weights, np.float32)[met]
        opinion = np.zeros(self.train.n_items, np.int8)  # 0: never met, 1: dismissed, 2: liked
        opinion[trained.items] = 1 + (trained.weights > 0)
        live = 1 + (weights > 0)
        if (opinion[items] == live).all():
            return trained
        opinion[items] = -1
        kept = opinion[trained.items] >= 0
        timestamps = np.concatenate([trained.timestamps[kept], np.asarray(history.timestamps, np.int64)[met]])
        order = np.argsort(timestamps, kind="stable")
        return Users.unknown(
            self.train.n_items,
            np.concatenate([trained.items[kept], items])[order],
            np.concatenate([trained.weights[kept], weights])[order],
            timestamps[order],
        )


def _family(model: Recommender) -> Iterator[Recommender]:
    """The model and all its parts; where two have one name, the outermost comes last and so is the one found by it."""
    for part in model.parts().values():
        yield from _family(part)
    yield model


def _titles(catalogue: Catalogue) -> list[str]:
    return [str(title) for title in catalogue.titles]
