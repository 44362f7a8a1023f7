"""Spectral filtering: histories as signals on the graph of items, smoothed, and sharpened again.

Shen, Wu, Zhang, Shan, Zhang, Letaief and Li, "How Powerful is Graph Convolution for Recommendation?" (CIKM 2021):
GF-CF, one step of normalised item-item propagation plus an ideal low-pass, the projection on the main singular vectors.
Choi, Hong, Park and Cho, "Blurring-Sharpening Process Models for Collaborative Filtering" (SIGIR 2023): BSPM, which
goes on by taking propagation away from what was blurred (`sharpen_time` above 0). Nothing is learnt by gradient, and a
filter is the same for a trained history and for one that came later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import sparse

from recstage.data.interactions import Interactions, Users
from recstage.models import base
from recstage.models.explanation import by_history
from recstage.models.linear.item_vectors import main_directions
from recstage.models.linear.memory import FLOAT, require_memory
from recstage.models.recent_items import recent

ROUNDING = 1e-6
"""Scores that are smaller than this share of a row's greatest are what rounding left of zero."""


class SpectralParams(base.ModelParams):
    """Hyperparameters of `Spectral`."""

    factors: int = Field(256, ge=1, description="singular vectors that the ideal low-pass lets through")
    low_pass: float = Field(0.3, ge=0, description="weight of the ideal low-pass beside the propagation")
    user_exponent: float = Field(0.5, ge=0, le=1, description="edges are divided by their user's total to this power")
    item_exponent: float = Field(0.5, ge=0, le=1, description="edges are divided by their item's total to this power")
    sharpen_time: float = Field(0.0, ge=0, description="how long the blurred is sharpened; 0: GF-CF")
    sharpen_steps: int = Field(1, ge=1, description="Euler steps of the sharpening")
    merge: Literal["early", "late"] = Field("late", description="the low-pass is added before or after the sharpening")
    popularity_discount: float = Field(0.0, ge=0, le=1, description="exponent of an item's popularity, divided by")
    recency_decay: float = Field(0.0, ge=0, description="the n-th last choice of a history counts 1 / n**recency_decay")
    memory_gb: float = Field(8.0, gt=0, description="a fit that needs more memory is refused")

    @model_validator(mode="after")
    def _steps_are_short(self) -> SpectralParams:
        if self.sharpen_time >= self.sharpen_steps:  # a step of 1 erases the main direction, longer ones turn it around
            raise ValueError(
                f"sharpen_time = {self.sharpen_time:g} in sharpen_steps = {self.sharpen_steps}: a step is shorter "
                "than 1; give more steps or less time"
            )
        return self


class Spectral(base.Recommender):
    """Scores an item by what a user's history becomes there when it is filtered on the item graph."""

    name = "spectral"
    Params = SpectralParams
    quick_fit = True
    folds_in = True
    minimum_positives = 2

    directions_: NDArray[np.float32]
    """Right singular vectors of the normalised user-item matrix, the main ones first: float32[n_items, k]."""
    singular_values_: NDArray[np.float32]

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        params = self.params
        require_memory(
            self.name,
            bytes_needed(train.n_users, train.n_items, len(train), params.factors),
            params.memory_gb,
            n_items=train.n_items,
            for_what=f"{params.factors} singular vectors",
            fix="Lower factors, or raise memory_gb",
        )
        edges = self._normalised(train)
        self._set(edges, *main_directions(edges, params.factors, fitting.seed))

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        histories = recent(users, self.params.recency_decay)
        out = np.empty((len(users), self.n_items if items is None else items.shape[-1]), np.float32)
        for rows in base.chunks(len(users), self.n_items + self.train_.n_users):
            scores = self._filtered(histories[rows])
            out[rows] = base.gather(scores, items if items is None or items.ndim == 1 else items[rows])
        return out

    def explain(self, users: Users, item: int) -> base.Explanation:
        """What each item of the history adds: the filter is linear, so its adjoint says it for all of them at once."""
        history = recent(users, self.params.recency_decay)
        added = self._adjoint(item)[history.indices] * history.data
        return by_history(self.name, self.train_, self.catalogue_, item, history.indices, added)

    def item_vectors(self) -> NDArray[np.float32]:
        return self.directions_ * self.singular_values_

    def state(self) -> dict[str, NDArray]:
        return {"directions": self.directions_, "singular_values": self.singular_values_}

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        self._set(self._normalised(self.train_), state["directions"], state["singular_values"])

    # -- the filter: signals are rows, float32[n, n_items] ------------------------------------------------------------

    def _set(self, edges: sparse.csr_matrix, directions: NDArray[np.float32], values: NDArray[np.float32]) -> None:
        self.directions_, self.singular_values_ = directions, values
        # exponents other than a half let signals grow or fade at each step: the greatest singular value is made 1
        self._edges = edges * np.float32(1 / values[0])
        self._edges_by_item = self._edges.T.tocsr()
        scale = _totals(self.train_.matrix, 0) ** self.params.item_exponent
        self._into = np.ascontiguousarray(directions / scale[:, None].astype(np.float32))
        self._out_of = np.ascontiguousarray(directions.T * scale.astype(np.float32))
        self._discount = (
            np.maximum(self.train_.item_counts, 1).astype(np.float64) ** -self.params.popularity_discount
        ).astype(np.float32)

    def _filtered(self, histories: sparse.csr_matrix) -> NDArray[np.float32]:
        params = self.params
        low = np.float32(params.low_pass) * ((histories @ self._into) @ self._out_of)
        blurred = self._propagated(histories.toarray())
        early = params.merge == "early"
        scores = self._sharpened(blurred + low) if early else self._sharpened(blurred) + low
        scores[np.abs(scores) < ROUNDING * np.abs(scores).max(axis=1, keepdims=True)] = 0
        return scores * self._discount

    def _adjoint(self, item: int) -> NDArray[np.float32]:
        """What one unit of each item in a history adds to the score of `item`: float32[n_items]. Propagation is
        symmetric, so only the order of the steps and the sides of the low-pass change."""
        params = self.params
        signal = np.zeros((1, self.n_items), np.float32)
        signal[0, item] = self._discount[item]
        sharp = self._sharpened(signal)
        into_low = sharp if params.merge == "early" else signal
        low = np.float32(params.low_pass) * ((into_low @ self._out_of.T) @ self._into.T)
        return (self._propagated(sharp) + low)[0]

    def _propagated(self, signals: NDArray[np.float32]) -> NDArray[np.float32]:
        """One step from item to item over the users that join them: the heat equation at time 1."""
        return np.asarray((self._edges_by_item @ (self._edges @ signals.T)).T)

    def _sharpened(self, signals: NDArray[np.float32]) -> NDArray[np.float32]:
        """The reverse: d signal / dt = -propagated signal, by Euler's method."""
        if self.params.sharpen_time == 0:
            return signals
        step = np.float32(self.params.sharpen_time / self.params.sharpen_steps)
        for _ in range(self.params.sharpen_steps):
            signals = signals - step * self._propagated(signals)
        return signals

    def _normalised(self, train: Interactions) -> sparse.csr_matrix:
        edges = train.matrix
        per_user = _totals(edges, 1) ** -self.params.user_exponent
        per_item = _totals(edges, 0) ** -self.params.item_exponent
        scaled = sparse.diags_array(per_user) @ edges @ sparse.diags_array(per_item)
        return sparse.csr_matrix(scaled, dtype=np.float32)


def bytes_needed(n_users: int, n_items: int, n_pairs: int, factors: int) -> int:
    """Greatest memory of a fit: both sides' vectors as scikit-learn's SVD works on them, and the graph."""
    factors = min(factors, n_users, n_items)
    return FLOAT * (4 * (n_users + n_items) * (factors + 10) + 8 * n_pairs)


def _totals(edges: sparse.csr_matrix, axis: int) -> NDArray[np.float64]:
    """Total weight of each user (axis 1) or item (axis 0); 1 where there is none."""
    total = np.asarray(edges.sum(axis=axis), np.float64).ravel()
    return np.where(total > 0, total, 1.0)
