"""Off-policy estimates on simulated logs whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.report import Measurement, at_least
from recstage.config import SyntheticSource
from recstage.data.synthetic.population import BROWSES, Habits, Population
from recstage.experiments.exploration import explore
from recstage.experiments.off_policy import LoggedSlots, estimates

USERS, ITEMS, POOL, SLOTS = 1500, 200, 50, 10
EXPLORATION = 0.3
LISTS = 3000
STILL = Habits(fatigue=0.0, drift=0.0, newcomers=0.0, bots=0.0)
"""The truth of a list must not depend on which lists were shown before."""


def logged_and_truth(
    seed: int, *, exploration: float = EXPLORATION, lists: int = LISTS, cascade: bool = False
) -> tuple[LoggedSlots, float]:
    """Lists of a noisy ranking with exploration, the candidate's lists (a sharper ranking that shares most items), and
    what the candidate truly earns on the same visits: clicks per list.

    `cascade`: users stop at their first click, and the truth is the share of lists with one.
    """
    population = Population(SyntheticSource(users=USERS, items=ITEMS, interactions=USERS * 10, seed=seed), STILL, seed)
    rng = np.random.default_rng([seed, 3])
    users = population.visitors(lists, 0.5)
    every = np.broadcast_to(np.arange(ITEMS), (USERS, ITEMS))
    liked = population.likes(np.arange(USERS), every, 0.5)
    noise = rng.normal(0, 1, (USERS, ITEMS))
    scores = liked + noise
    better = 1.2 * liked + noise + rng.normal(0, 0.1, (USERS, ITEMS))
    pool = np.argsort(-scores, axis=1)[:, :POOL]
    candidate = np.argsort(-better, axis=1)[:, :SLOTS][users]
    shown, chance = np.empty((lists, SLOTS), np.int64), np.empty((lists, SLOTS))
    for i, user in enumerate(users.tolist()):
        order, chance[i] = explore(scores[user, pool[user]].astype(np.float32), SLOTS, exploration, rng)
        shown[i] = pool[user][order]
    if cascade:
        first = _first_click(_cascade(population, users, shown), rng)
        truth = float(_cascade(population, users, candidate).sum(axis=1).mean())
        return LoggedSlots(shown, chance, first, candidate, users), truth
    reward = population.clicks(users, shown, 0.5).astype(np.float64)
    truth = float(population.chances(users, candidate, 0.5).sum(axis=1).mean())
    return LoggedSlots(shown, chance, reward, candidate, users), truth


def _cascade(population: Population, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float64]:
    """The chance that each item is the one that is clicked, float64[n, k], by users who read on with the chance of
    `BROWSES` after an item that they do not click, and stop at a click."""
    position = BROWSES ** np.arange(items.shape[1])
    attraction = np.minimum(population.chances(users, items, 0.5) / position, 0.95)
    passed = np.cumprod(1 - attraction, axis=1) / (1 - attraction)
    return attraction * passed * position


def _first_click(chances: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Which item of each list is clicked, if any: float64[n, k] of 0 and 1. `chances`: that it is the one."""
    place = (np.cumsum(chances, axis=1) <= rng.random(len(chances))[:, None]).sum(axis=1)
    return (np.arange(chances.shape[1]) == place[:, None]).astype(np.float64)


def coverage(runs: int, seed: int = 0, *, cascade: bool = False) -> dict[str, tuple[float, float]]:
    """By method: the share of simulations whose 95 % interval holds the truth, and the mean width relative to it. The
    methods of the position-based model are tried on its users, that of the cascade model on users who stop at a click.
    """
    inside: dict[str, list[bool]] = {}
    width: dict[str, list[float]] = {}
    for one in range(seed, seed + runs):
        logged, truth = logged_and_truth(one, cascade=cascade)
        for found in [one for one in estimates(logged) if (one.method == "cascade") == cascade]:
            inside.setdefault(found.method, []).append(found.low <= truth <= found.high)
            width.setdefault(found.method, []).append((found.high - found.low) / truth)
    return {method: (float(np.mean(hits)), float(np.mean(width[method]))) for method, hits in inside.items()}


def off_policy(runs: int, seed: int = 0) -> Iterator[Measurement]:
    """The coverage of each estimate."""
    for method, (share, width) in {**coverage(runs, seed), **coverage(runs, seed, cascade=True)}.items():
        note = f"{runs} logs, width {width:.0%} of the truth"
        yield Measurement(f"{method}: truth inside the 95 % interval", share, at_least(0.93), note=note)
