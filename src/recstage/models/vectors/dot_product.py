"""The recommender whose score is the dot product of a user's vector and an item's: exact search, or an index."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recstage.data.interactions import Users
from recstage.errors import ConfigError
from recstage.models import base
from recstage.models.vectors.index import VectorIndex
from recstage.models.vectors.targets import Targets

log = logging.getLogger(__name__)

INDEXED_FROM = 100_000
"""Items from which `index = auto` takes an index."""
QUERIES = 512
"""Trained users by whom the index is tuned and its recall is measured, half of them for either."""


class DotProductParams(base.ModelParams):
    """Hyperparameters of every `DotProduct`."""

    index: Literal["auto", "exact", "faiss"] = Field(
        "auto",
        description="how the best items are found; faiss: by an approximate index; "
        f"auto: from {INDEXED_FROM:,} items on where FAISS is installed",
    )


class DotProduct(base.Recommender):
    """Scores an item by the dot product of its vector with the user's.

    A subclass finds `targets_` and user vectors; its `_fit` ends with `_build_index`, its `state` holds `index_state`,
    and its `_load_state` ends with `_load_index`.
    """

    targets_: Targets
    index_: VectorIndex | None = None

    @abstractmethod
    def user_vectors(self, users: Users) -> NDArray[np.float32]:
        """Vectors of users whom `can_score` marks: float32[n, d]."""

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        vectors = self.user_vectors(users)
        if items is None or items.ndim == 1:
            return vectors @ (self.targets_.all() if items is None else self.targets_.of(items)).T
        out = np.empty(items.shape, np.float32)
        for rows in base.chunks(len(users), items.shape[1] * vectors.shape[1]):
            out[rows] = np.matmul(self.targets_.of(items[rows]), vectors[rows, :, None])[:, :, 0]
        return out

    def retrieve(
        self, users: Users, k: int, excluded: sparse.csr_matrix | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if self.index_ is None:
            return super().retrieve(users, k, excluded)
        return self.index_.search(self.user_vectors(users), k, excluded)

    @property
    def indexed(self) -> bool:
        return self.index_ is not None

    @property
    def index_recall(self) -> float | None:
        return None if self.index_ is None else self.index_.recall

    # -- for subclasses -----------------------------------------------------------------------------------------------

    def _build_index(self) -> None:
        """Make the index that `params.index` asks for. Raises `ConfigError` where FAISS is asked for and missing."""
        self.index_ = None
        if not self._wants_index():
            return
        users = self.train_.all_users
        able = np.flatnonzero(self.can_score(users))
        if not len(able):
            return
        chosen = able[np.unique(np.linspace(0, len(able) - 1, min(QUERIES, len(able))).astype(np.int64))]
        sample = users.take(chosen)
        self.index_ = VectorIndex.build(self.targets_, self.user_vectors(sample), sample.seen)

    def _wants_index(self) -> bool:
        if self.params.index != "auto":
            return bool(self.params.index == "faiss")
        if self.n_items < INDEXED_FROM:
            return False
        if find_spec("faiss") is None:
            log.warning(
                "%s: each of %d items is scored for every list; an index is faster: pip install 'recstage[faiss]'",
                *(self.name, self.n_items),
            )
            return False
        return True

    def index_state(self) -> dict[str, NDArray]:
        """The index as plain arrays; none without one."""
        return {} if self.index_ is None else self.index_.state()

    def _load_index(self, state: Mapping[str, NDArray]) -> None:
        """The inverse of `index_state`. Without FAISS a model with `index = auto` scores everything, and says so."""
        self.index_ = None
        if "index" not in state:
            if self.params.index == "faiss":  # saved before the index was
                self._build_index()
            return
        try:
            self.index_ = VectorIndex.from_state(self.targets_, state)
        except ConfigError as error:
            if self.params.index == "faiss":
                raise
            log.warning("%s has an index, but each of its %d items is scored: %s", self.name, self.n_items, error.rule)
