"""One model version, loaded and ready; a request takes one reference to it and uses nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

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
from serving.models import item_digests
from serving.models.exclusion import excluded_mask
from serving.models.memory import check_fits
from serving.models.repository import ProductionVersion
from serving.models.user import Given, UserContext, columns_of


@dataclass(frozen=True, eq=False)
class ModelSource:
    """The registry version and the manifest that a loaded model was read from."""

    staged: ProductionVersion
    manifest: Manifest


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """Verified models over one set of ids, with what ranking needs besides them, computed once.

    `chain`: the fallback order; the first model that can score the user is used, popularity follows the last.
    `methods`: every model by name, for requests that choose one. `source`: None for models from the service's own data.
    """

    key: str
    """Identifies the version among all that this service may ever serve; part of each cache key."""
    algorithm: str
    chain: tuple[Recommender, ...]
    methods: Mapping[str, Recommender]
    train: Interactions
    catalogue: Catalogue
    popularity: NDArray[np.float32]
    item_ids: Sequence[str]
    titles: Sequence[str]
    item_similarity: rerank.ItemVectors
    """Unit vectors whose cosine is the similarity of two items: float32[n_items, d]."""
    swapped_at: datetime
    source: ModelSource | None = None
    slow: bool = False
    """Whether a list takes so long that it is computed in a thread, off the event loop."""
    placed_items: dict[Any, Any] = field(default_factory=dict, repr=False)
    """Where items belong that the version was not trained with (`serving.catalogue.placement`); freed with it."""
    compiled_rules: dict[str, Any] = field(default_factory=dict, repr=False)
    """What `serving.rules` compiled for these items; freed with them."""
    _excluded: dict[int, NDArray[np.bool_]] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, staged: ProductionVersion, now: datetime) -> LoadedModel:
        """Load a bundle, check every digest and the golden answers. Raises `BundleError`."""
        check_fits(staged.folder)
        loaded = bundle.load(staged.folder)
        bundle.verify_answers(loaded)
        model = loaded.model
        return cls(
            key=staged.key,
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
    def fallback(
        cls, key: str, models: Sequence[Recommender], train: Interactions, catalogue: Catalogue
    ) -> LoadedModel:
        """Models fitted on the service's own data, in their fallback order."""
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
        """The same version, promoted again: the promotion's details change, the models do not."""
        assert self.source is not None
        return replace(self, source=replace(self.source, staged=staged))

    @property
    def content(self) -> Content | None:
        """The model that knows items by their text and categories, where the version has one."""
        found = self.methods.get(Content.name)
        return found if isinstance(found, Content) else None

    def popularity_alone(self) -> LoadedModel:
        """The popularity of this version, without its models."""
        return replace(
            self, key=f"{self.key}/popularity", algorithm="popularity", chain=(), methods={}, source=None, slow=False
        )

    # -- items --------------------------------------------------------------------------------------------------------

    @cached_property
    def item_digests(self) -> NDArray[np.uint32]:
        """A digest of each item's id: uint32[n_items]."""
        return item_digests.of(self.item_ids)

    @cached_property
    def similar_item_vectors(self) -> rerank.ItemVectors:
        """What similar items are found by: the item vectors of the first model that has some, else `item_similarity`.

        Re-ranking for diversity prefers categories; a user who asks for similar items wants those that users choose
        together.
        """
        for model in self.chain:
            vectors = model.item_vectors()
            if vectors is not None:
                return rerank.ItemVectors(rerank.ITEM_VECTORS, rerank.unit_rows(np.asarray(vectors)))
        return self.item_similarity

    @cached_property
    def _in_category(self) -> tuple[Mapping[str, int], sparse.csc_matrix]:
        names = {name: column for column, name in enumerate(self.catalogue.category_names)}
        return names, self.catalogue.category_matrix.tocsc()

    def category_names(self) -> Sequence[str]:
        return self.catalogue.category_names

    def in_categories(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Items with any of the categories: bool[n_items]. Unknown names are skipped."""
        columns, matrix = self._in_category
        chosen = np.zeros(len(self.train.items), bool)
        for name in names:
            column = columns.get(name)
            if column is not None:
                chosen[matrix.indices[matrix.indptr[column] : matrix.indptr[column + 1]]] = True
        return chosen

    def excluded(self, hidden: HiddenItems) -> NDArray[np.bool_]:
        """Items that no user may be shown: bool[n_items], read-only.

        They are unavailable in the bundle's catalogue, or hidden since.
        """
        mask = self._excluded.get(hidden.version)
        if mask is None:
            mask = ~self.catalogue.available | excluded_mask(hidden.item_ids, self.train.items)
            self._excluded.clear()
            self._excluded[hidden.version] = mask
        return mask

    # -- users --------------------------------------------------------------------------------------------------------

    def trained_user(self, user_id: str) -> Users:
        """One user with the history of training; an unknown user has index -1 and no history."""
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

    def unknown_user(self) -> UserContext:
        """A user of whom nothing is known, or nothing may be used."""
        unknown = Users.unknown(self.train.n_items)
        return UserContext(unknown, unknown)

    @cached_property
    def request_keys(self) -> frozenset[str]:
        """What of a request the lists of this version depend on: keys of `RecommendationRequest.given`."""
        return frozenset(key for model in self.chain for key in model.request_keys)

    def unlearned(self, given: Given) -> list[str]:
        """What of a request this version does not look at (`context.page`), or whose value it was not trained with
        (`context.device=fridge`)."""
        asked = dict(given)
        columns = columns_of(given, self.request_keys)
        values = {key for model in self.chain for key in model.unlearned(columns)}
        unknown = [key for key in asked if key not in self.request_keys]
        return [*unknown, *(f"{key}={asked[key]}" for key in asked if key in values)]

    def user_context(self, user_id: str, history: History, given: Given = ()) -> UserContext:
        """One user: the history of training updated by the live one; an unknown user where they opted out.

        `given`: what the request says of the user and its moment, in place of what the history knows.
        """
        if not history.personal:
            context = self.unknown_user()
        else:
            trained = Users.unknown(self.train.n_items) if history.forgotten else self.trained_user(user_id)
            users = self._merged(trained, history) if history.item_ids else trained
            context = UserContext(users, trained, history.categories)
        columns = columns_of((*history.profile, *given), self.request_keys)
        return context.with_given(columns) if columns else context

    def _merged(self, trained: Users, history: History) -> Users:
        """The training rows updated by the live ones, oldest first; `trained` itself where nothing is new."""
        found = self.train.items.index_of(history.item_ids)
        known = found >= 0
        items = found[known]
        weights = np.asarray(history.weights, np.float32)[known]
        opinion = np.zeros(self.train.n_items, np.int8)  # 0: not seen, 1: dismissed, 2: liked
        opinion[trained.items] = 1 + (trained.weights > 0)
        live = 1 + (weights > 0)
        if (opinion[items] == live).all():
            return trained
        opinion[items] = -1  # a live row replaces the training row of the same item
        kept = opinion[trained.items] >= 0
        timestamps = np.concatenate([trained.timestamps[kept], np.asarray(history.timestamps, np.int64)[known]])
        order = np.argsort(timestamps, kind="stable")
        merged = Users.unknown(
            self.train.n_items,
            np.concatenate([trained.items[kept], items])[order],
            np.concatenate([trained.weights[kept], weights])[order],
            timestamps[order],
        )
        return merged if not self.request_keys else replace(merged, profile_index=trained.profile_rows)


def _family(model: Recommender) -> Iterator[Recommender]:
    """The model and all its parts; of two with one name the outermost comes last, and is the one found by name."""
    for part in model.parts().values():
        yield from _family(part)
    yield model


def _titles(catalogue: Catalogue) -> list[str]:
    return [str(title) for title in catalogue.titles]
