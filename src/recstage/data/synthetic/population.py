"""Simulated users with known tastes: what they do with a list that is shown to them.

The tastes are those of the generator's world (`recstage.data.synthetic.generator`): a few clusters of items for each
user, which turn into others in the course of time. On top of that a list is read from the top (position bias), users
tire of lists (fatigue), new users come all the time, and a few are bots. Everything is drawn from one seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recstage.config import SyntheticSource
from recstage.data.synthetic.generator import SLOTS, World

BROWSES = 0.85
"""Chance to look at the next item of a list; the first is always looked at."""
LIKED, OTHER = 0.12, 0.015
"""Mean chance of a click on an item that is looked at: of the user's taste, and another."""

OWN_TASTE = 0.8
"""Share of what users find by themselves that is of their own taste; the rest is popular everywhere."""


@dataclass(frozen=True)
class Habits:
    """How the population behaves.

    `fatigue`: share of the interest that is lost with each list, down to half. `drift`: share of the users whose taste
    turns. `newcomers`: share of the users who come only after the beginning. `bots`: share of the users who ask for
    `bot_lists` times as many lists and click on nothing.
    """

    fatigue: float = 0.01
    drift: float = 0.2
    newcomers: float = 0.3
    bots: float = 0.005
    bot_lists: int = 100


class Population:
    """Users 0 to n-1 with tastes, habits and a history of lists shown."""

    def __init__(self, config: SyntheticSource, habits: Habits = Habits(), seed: int = 0) -> None:  # noqa: B008
        """Draw the users; `seed` beside that of the world, so that one world can hold several populations."""
        self.config, self.habits, self.world = config, habits, World(config)
        self.rng = rng = np.random.default_rng([config.seed, 2, seed])
        n, world = config.users, self.world
        self._tastes = world._tastes(n, np.random.default_rng([config.seed, 1, 0]))
        self.cluster_of = np.empty(config.items, np.int32)
        self.cluster_of[world.item_at] = world.cluster_at
        self.interest = rng.gamma(4.0, 0.25, n)
        self.joins = np.where(rng.random(n) < habits.newcomers, rng.random(n), 0.0)
        self.turns = np.where(rng.random(n) < habits.drift, rng.random(n), np.inf)
        self.bot = rng.random(n) < habits.bots
        self._activity = rng.gamma(1.0, 1.0, n) + 0.05
        self.shown = np.zeros(n, np.int64)

    def visitors(self, n: int, moment: float) -> NDArray[np.int64]:
        """Who asks for the next n lists at a moment in [0, 1]."""
        weight = self._activity * np.where(self.bot, self.habits.bot_lists, 1.0) * (self.joins <= moment)
        return self.rng.choice(len(weight), n, p=weight / weight.sum())

    def tastes(self, users: NDArray[np.int64], moment: float) -> NDArray[np.int64]:
        """The clusters that users like at a moment: int64[n, slots]."""
        return self._tastes[(self.turns[users] <= moment).astype(np.int64), users]

    def likes(self, users: NDArray[np.int64], items: NDArray[np.int64], moment: float) -> NDArray[np.bool_]:
        """Whether each item of each list (-1: none) is of the user's taste: bool[n, k]."""
        clusters = self.cluster_of[np.maximum(items, 0)]
        return (clusters[:, :, None] == self.tastes(users, moment)[:, None, :]).any(axis=2) & (items >= 0)

    def chances(self, users: NDArray[np.int64], items: NDArray[np.int64], moment: float) -> NDArray[np.float64]:
        """The true chance of a click on each item at its rank: float64[n, k]."""
        interest = self.interest[users] * np.maximum(0.5, (1 - self.habits.fatigue) ** self.shown[users])
        chance = np.where(self.likes(users, items, moment), LIKED, OTHER) * interest[:, None]
        chance = np.minimum(chance, 0.95) * BROWSES ** np.arange(items.shape[1])[None, :]
        return np.where((items < 0) | self.bot[users][:, None], 0.0, chance)

    def clicks(self, users: NDArray[np.int64], items: NDArray[np.int64], moment: float) -> NDArray[np.bool_]:
        """Which items of their lists users click on: bool[n, k]. The lists count for their fatigue."""
        chosen = self.rng.random(items.shape) < self.chances(users, items, moment)
        np.add.at(self.shown, users, 1)
        return chosen

    def history(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Users int64[n] who found items int64[n] by themselves before the beginning, in order of time. Users
        who join later and bots have none."""
        weight = self._activity * ~self.bot * (self.joins <= 0)
        users = self.rng.choice(len(weight), n, p=weight / weight.sum())
        return users, self.found(users, 0.0)

    def found(self, users: NDArray[np.int64], moment: float) -> NDArray[np.int64]:
        """An item that each user finds without a list, by searching or from elsewhere: of their own taste, or popular
        everywhere; -1 for a bot."""
        world, rng, n = self.world, self.rng, len(users)
        slot = np.minimum(np.searchsorted(SLOTS, rng.random(n), side="right"), len(SLOTS) - 1)
        cluster = np.take_along_axis(self.tastes(users, moment), slot[:, None], axis=1)[:, 0]
        place = np.searchsorted(world.in_cluster, cluster + rng.random(n), side="right")
        popular = np.searchsorted(world.everywhere, rng.random(n), side="right")
        place = np.where(rng.random(n) < OWN_TASTE, place, popular)
        items = world.item_at[np.minimum(place, len(world.item_at) - 1)].astype(np.int64)
        return np.where(self.bot[users], -1, items)
