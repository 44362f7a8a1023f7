"""Two towers: a small causal transformer reads a user's ordered history, the other tower embeds each item.

The score is the dot product of the two (or their cosine), so an exact or an approximate index can serve it. The user
tower is SASRec's (Kang and McAuley 2018, https://arxiv.org/abs/1808.09781), LiGR's or HSTU's by `params.block`, trained
with a softmax over the catalogue (Klenitskiy and Vasilev 2023, https://arxiv.org/abs/2309.07602). Training uses PyTorch
(`recstage.models.two_tower.training`, imported only by a fit), serving NumPy (`encoding`). No state is kept per user:
all users with a history are served, and new items are embedded from their texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions, Users
from recstage.errors import ConfigError, DataError, TooLittleData
from recstage.models import base
from recstage.models.content.text_svd import ItemFeatures
from recstage.models.growth import carried_over
from recstage.models.two_tower.encoding import encode, to_length_one
from recstage.models.two_tower.params import TwoTowerParams
from recstage.models.vectors.dot_product import DotProduct
from recstage.models.vectors.targets import Targets

TOKENS_AT_ONCE = 6_400  # history items encoded at once: their activations stay in the processor's cache


class TwoTower(DotProduct):
    """Scores an item by how well its vector continues a user's history."""

    name = "two-tower"
    Params = TwoTowerParams
    folds_in = True
    needs_order = True
    minimum_positives = 10

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        liked = train.select(train.weight > 0)
        if liked.lengths.max(initial=0) < 2:
            raise TooLittleData(
                "no user with two positive interactions",
                rule=f"{self.name} learns which item follows another",
                fix="Give longer histories or choose another model",
            )
        from recstage.models.neural.on_cluster import trained
        from recstage.models.two_tower.training import fit_network

        features = None
        if self.params.text_factors:
            features = ItemFeatures.learn(self.catalogue_, self.params.text_factors, fitting.seed)
        described = None if features is None else features.of(self.catalogue_)
        weights, epochs = trained(fit_network, self, liked, fitting, described)
        self._set(weights, features)
        self._build_index()
        self.fitted_params_ = {"epochs": epochs}

    def _update(self, before: Self, fitting: base.Fitting) -> None:
        """The user tower reads later histories as it is; new items get vectors from their texts alone. Raises
        `ConfigError` where there are new items and the model was trained without texts."""
        old = before.train_.items.index_of(self.train_.items.ids)
        new = old < 0
        vectors = carried_over(before.weights_["items"], old)
        if new.any():
            if before.features_ is None:
                raise ConfigError(
                    f"an update of {self.name} with {int(new.sum())} new items",
                    rule="it was trained without texts, by which it would know them",
                    fix="Train it again (recstage train, recstage retrain)",
                )
            vectors[new] = before.features_.of(fitting.catalogue)[new] @ before.weights_["text"]
        self._set({**before.weights_, "items": vectors}, before.features_)
        self._build_index()

    def can_score(self, users: Users) -> NDArray[np.bool_]:
        return np.bincount(users.rows[users.weights > 0], minlength=len(users)) > 0

    def item_vectors(self) -> NDArray[np.float32]:
        return self.targets_.all()

    def _as_targets(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return to_length_one(vectors) if self.params.similarity == "cosine" else vectors

    def user_vectors(self, users: Users) -> NDArray[np.float32]:
        """Each user's vector, from their history: float32[n, factors]; zeros for users without a positive item."""
        liked = users.weights > 0
        items, rows, times = users.items[liked], users.rows[liked], users.timestamps[liked]
        timed = "block_0_ages" in self.weights_
        ends = np.cumsum(np.bincount(rows, minlength=len(users)))
        lengths = np.minimum(np.diff(ends, prepend=0), self.params.window)
        out = np.zeros((len(users), self.params.factors), np.float32)
        for length in np.unique(lengths[lengths > 0]):  # histories of one length need no padding
            same = np.flatnonzero(lengths == length)
            step = max(1, TOKENS_AT_ONCE // int(length))
            for start in range(0, len(same), step):
                some = same[start : start + step]
                place = ends[some][:, None] + np.arange(-length, 0)
                out[some] = encode(
                    self.weights_, self.weights_["items"][items[place]], self.params, times[place] if timed else None
                )
        return out

    def embed_items(self, catalogue: Catalogue) -> NDArray[np.float32]:
        """Vectors of items from their texts and categories alone: float32[len(catalogue.items), factors].

        Their dot products with `user_vectors` are scores. Raises `DataError` if the model was trained without texts.
        """
        if self.features_ is None:
            raise DataError(
                "items to embed from their texts",
                rule="this two-tower was trained without texts",
                fix="Train it on a catalogue with titles, texts or categories",
            )
        return self._as_targets(self.features_.of(catalogue) @ self.weights_["text"])

    def state(self) -> dict[str, NDArray]:
        features = {} if self.features_ is None else self.features_.state()
        return {**self.weights_, **features, **self.index_state()}

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        weights = {name: value for name, value in state.items() if not name.startswith(("text_", "index"))}
        self._set(weights, ItemFeatures.from_state(state) if "text_idf" in state else None)
        self._load_index(state)

    def _set(self, weights: dict[str, NDArray[np.float32]], features: ItemFeatures | None) -> None:
        self.weights_, self.features_ = weights, features
        self.targets_ = Targets(self._as_targets(weights["items"]))
