"""Random order: the lowest baseline of a comparison."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recstage.data.interactions import Interactions, Users
from recstage.models import base


class RandomParams(base.ModelParams):
    """`Random` has none."""


class Random(base.Recommender):
    """Scores in [0, 1), a function of the seed, the user and the item: the same pair, the same score."""

    name = "random"
    Params = RandomParams
    quick_fit = True

    seed_: int

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        self.seed_ = fitting.seed

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        chosen = np.arange(self.n_items) if items is None else items
        # unknown users share index -1: all of them get the same order
        start = _mixed(users.index.astype(np.int64).view(np.uint64) + _mixed(np.array([self.seed_]).view(np.uint64)))
        bits = _mixed(start[:, None] + np.atleast_2d(chosen).astype(np.uint64))
        return (bits >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)

    def can_score(self, users: Users) -> NDArray[np.bool_]:
        return np.ones(len(users), bool)

    def state(self) -> dict[str, NDArray]:
        return {"seed": np.array(self.seed_, np.int64)}

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        self.seed_ = int(state["seed"])


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): consecutive numbers become unrelated ones."""
    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
