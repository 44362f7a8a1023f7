"""A recommender whose scores the test writes down itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from recstage.data.interactions import IdMap, Interactions, Users
from recstage.models import base


class Written(base.Recommender):
    """Scores are a table, one row a training user."""

    name = "written"
    Params = base.ModelParams
    table: NDArray[np.float32]
    vectors: NDArray[np.float32] | None = None

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        pass

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        return base.gather(self.table[users.index], items)

    def item_vectors(self) -> NDArray[np.float32] | None:
        return self.vectors

    def state(self) -> dict[str, NDArray]:
        return {"table": self.table}

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        self.table = state["table"]


def rows(n_users: int, n_items: int, pairs: ArrayLike, weight: ArrayLike | None = None) -> Interactions:
    """Interactions over users u0, u1, ... and items i0, i1, ... from (user, item) indices."""
    users = IdMap([f"u{i}" for i in range(n_users)])
    items = IdMap([f"i{i}" for i in range(n_items)])
    pairs = np.asarray(pairs, dtype=np.int32).reshape(-1, 2)
    return Interactions.from_arrays(users, items, pairs[:, 0], pairs[:, 1], weight)


@pytest.fixture(scope="session")
def interactions() -> Callable[..., Interactions]:
    return rows


@pytest.fixture(scope="session")
def written() -> Callable[..., Written]:
    def build(table: ArrayLike, train: Interactions, vectors: ArrayLike | None = None) -> Written:
        model = Written().fit(train)
        model.table = np.asarray(table, np.float32)
        model.vectors = None if vectors is None else np.asarray(vectors, np.float32)
        return model

    return build
