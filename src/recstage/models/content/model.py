"""Content-based recommendation: items similar to those a user chose, by words and categories.

A profile is the weighted sum of the descriptions of the chosen items, as in Pazzani and Billsus, "Content-Based
Recommendation Systems" (2007), plus the categories that a user declares to like. New items are scored by their text
alone, new users from their first choice or declaration, both without retraining.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions, Users
from recstage.errors import TooLittleData
from recstage.models import base
from recstage.models.content.content_features import Description
from recstage.models.explanation import by_popularity, largest
from recstage.models.neighborhood.neighbors import weighted_sum
from recstage.models.neighborhood.weighting import unit
from recstage.models.recent_items import recent

FEATURES_NAMED = 5
"""Words and categories that the text of an explanation names."""
VECTOR_SIZE = 128
"""Dimensions of `item_vectors`: a random projection keeps cosines within about 0.1."""


class ContentParams(base.ModelParams):
    """Hyperparameters of `Content`."""

    category_share: float = Field(
        0.4, ge=0, le=1, description="weight of categories in the similarity of items, the rest is text"
    )
    max_words: int = Field(20_000, ge=1, description="words kept, the most frequent")
    encoder: str = Field("", description="sentence-transformers model for the text; empty: TF-IDF of its words")
    recency_decay: float = Field(0.0, ge=0, description="the n-th last choice has weight 1 / n**recency_decay")
    preference_weight: float = Field(1.0, ge=0, description="weight of declared preferences; that of the history is 1")


class Content(base.Recommender):
    """Scores an item by the cosine of its description and the user's profile."""

    name = "content"
    Params = ContentParams
    folds_in = True

    description_: Description
    vectors_: sparse.csr_matrix
    """Description of each item: float32[n_items, columns], rows of length 1 or 0."""

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        params, catalogue = self.params, fitting.catalogue
        if not any(catalogue.documents):
            raise TooLittleData(
                "a catalogue without texts and categories",
                rule="content describes items by them",
                fix="Give an items file, or choose another model",
            )
        description = Description.learn(
            catalogue, category_share=params.category_share, max_words=params.max_words, encoder=params.encoder
        )
        self._set(description, description.of(catalogue))

    def _update(self, before: Self, fitting: base.Fitting) -> None:
        """Items are described by the words and categories that were learnt, new ones by their texts alone."""
        self._set(before.description_, before.description_.of(fitting.catalogue))

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        return weighted_sum(self.profiles(users), self._by_column, items)

    def can_score(self, users: Users) -> NDArray[np.bool_]:
        described = np.diff(self.vectors_.indptr) > 0
        usable = (users.weights > 0) & described[users.items]
        return np.bincount(users.rows[usable], minlength=len(users)) > 0

    def item_vectors(self) -> NDArray[np.float32]:
        directions = np.random.default_rng(0).standard_normal((self.vectors_.shape[1], VECTOR_SIZE), dtype=np.float32)
        return np.asarray(self.vectors_ @ directions, np.float32)

    # -- users and items unknown to training --------------------------------------------------------------------------

    def profiles(self, users: Users, preferences: Sequence[Sequence[str]] | None = None) -> sparse.csr_matrix:
        """Each user's profile, from their history and the categories they declare (`preferences`, one list a user).

        float32[n, columns], rows of length 1, or 0 without a usable history and known categories.
        """
        profiles = unit(sparse.csr_matrix(recent(users, self.params.recency_decay) @ self.vectors_))
        if preferences is not None:
            declared = self.description_.from_preferences(preferences)
            profiles = unit(sparse.csr_matrix(profiles + declared * np.float32(self.params.preference_weight)))
        return profiles

    def score_declared(
        self, users: Users, preferences: Sequence[Sequence[str]], items: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        """`score` with declared categories, one list of names a user."""
        return weighted_sum(self.profiles(users, preferences), self._by_column, items)

    def embed_items(self, catalogue: Catalogue) -> sparse.csr_matrix:
        """Descriptions of any items, also of those unknown to training: float32[n, columns]."""
        return self.description_.of(catalogue)

    def explain(self, users: Users, item: int) -> base.Explanation:
        """The words and categories that the profile and the item have in common."""
        shared = sparse.csr_matrix(self.profiles(users).multiply(self.vectors_[item]))
        names = [self.description_.name(column) for column in shared.indices.tolist()]
        added: dict[str, float] = {}
        for name, value in zip(names, shared.data.tolist(), strict=True):
            added[name] = added.get(name, 0.0) + value
        contributions = largest("feature", list(added), list(added.values()))
        if not contributions:
            return by_popularity(self.train_, item)
        total = sum(one.value for one in contributions)
        named = ", ".join(f"{one.name} ({one.value / total:.0%})" for one in contributions[:FEATURES_NAMED])
        text = f"It has in common with what you chose: {named}."
        return base.Explanation(self.name, total, text, contributions)

    # -- saving -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, NDArray]:
        vectors = {name: getattr(self.vectors_, name) for name in ("data", "indices", "indptr")}
        return {**self.description_.state(), **vectors}

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        description = Description.from_state(state)
        parts = (state["data"], state["indices"], state["indptr"])
        self._set(description, sparse.csr_matrix(parts, shape=(self.n_items, description.columns)))

    def _set(self, description: Description, vectors: sparse.csr_matrix) -> None:
        self.description_, self.vectors_ = description, vectors
        self._by_column = vectors.T.tocsr()
