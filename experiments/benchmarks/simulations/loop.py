"""The loop in this process, a hundred times over: simulated users, and the very code that assigns, reads and guards.

No service and no registry: lists come from policies of a known quality, so that it is known which of two is better.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.benchmarks.report import Measurement, at_least, at_most
from recstage.config import SyntheticSource
from recstage.config.experiments import ExperimentConfig, WatchConfig
from recstage.data.synthetic.population import Population
from recstage.experiments import guard_limits, reading
from recstage.experiments.assignment import Experiment, in_group
from recstage.experiments.guard_limits import Window
from recstage.experiments.outcomes import METRICS, VIEW_SECONDS, UserSums, bots_among

USERS, ITEMS, SLOTS = 4000, 400, 10
LISTS_A_LOOK, MOST_LOOKS = 2000, 40
PER_MINUTE, SECONDS_A_LOOK = 3000, 5
LIFT = 0.2
HELD_OUT = 20_000
"""Rollbacks are judged on seeds from here on: the guard limits were chosen on low ones."""
QUALITY = 0.3
"""Share of a list's slots that Production fills with items of the user's taste."""


@dataclass(frozen=True)
class Policy:
    """Lists of a known quality: a share `quality` of the slots is of the user's taste, the others are anything.
    `empty`: shows nothing."""

    quality: float
    empty: bool = False

    def lists(self, population: Population, users: NDArray[np.int64], moment: float) -> NDArray[np.int64]:
        """int64[n, SLOTS], -1 where there is no item."""
        n, world, rng = len(users), population.world, population.rng
        if self.empty:
            return np.full((n, SLOTS), -1)
        tastes = population.tastes(users, moment)
        cluster = np.take_along_axis(tastes, rng.integers(0, tastes.shape[1], (n, SLOTS)), axis=1)
        place = world.cluster_start[cluster] + (rng.random((n, SLOTS)) * world.size[cluster]).astype(np.int64)
        anything = rng.integers(0, ITEMS, (n, SLOTS))
        return np.where(rng.random((n, SLOTS)) < self.quality, world.item_at[place], anything).astype(np.int64)


def _population(seed: int) -> Population:
    return Population(SyntheticSource(users=USERS, items=ITEMS, interactions=USERS * 10, seed=seed), seed=seed)


def true_rate(policy: Policy, seed: int = 0, lists: int = 60_000) -> float:
    """The true click-through of a policy: the mean chance that a list of a human is clicked."""
    population = _population(seed)
    users = population.visitors(lists, 0.5)
    users = users[~population.bot[users]]
    chance = population.chances(users, policy.lists(population, users, 0.5), 0.5)
    return float((1 - np.prod(1 - chance, axis=1)).mean())


def better_by(lift: float) -> Policy:
    """The policy whose true click-through is `lift` above Production's."""
    wanted, low, high = (1 + lift) * true_rate(Policy(QUALITY)), QUALITY, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if true_rate(Policy(middle)) < wanted else (low, middle)
    return Policy((low + high) / 2)


def promoted(challenger: Policy, seed: int, config: ExperimentConfig) -> tuple[bool, int]:
    """Whether the challenger is promoted, and the lists shown: one look after every batch, until the verdict is better
    (promoted), or the planned evidence is there."""
    population, production = _population(seed), Policy(QUALITY)
    experiment = Experiment(f"simulation-{seed}", "1", "2", 0.5, "split")
    treated = np.array([in_group(f"u{user}", experiment) for user in range(USERS)])
    lists, clicked = np.zeros(USERS), np.zeros(USERS)
    for look in range(1, MOST_LOOKS + 1):
        moment = look / MOST_LOOKS
        users = population.visitors(LISTS_A_LOOK, moment)
        items = production.lists(population, users, moment)
        own = treated[users]
        items[own] = challenger.lists(population, users[own], moment)
        hit = population.clicks(users, items, moment).any(axis=1)
        np.add.at(lists, users, 1)
        np.add.at(clicked, users, hit)
        found = reading.read_sums(_sums(lists, clicked, treated, config), config)
        if found.verdict == "better":
            return True, look * LISTS_A_LOOK
        if found.evidence >= 1:
            return False, look * LISTS_A_LOOK
    return False, MOST_LOOKS * LISTS_A_LOOK


def _sums(
    lists: NDArray[np.float64], clicked: NDArray[np.float64], treated: NDArray[np.bool_], config: ExperimentConfig
) -> UserSums:
    seen = lists > 0
    seen[seen] = ~bots_among(lists[seen], config.most_lists)
    columns: dict[str, object] = {"user_id": np.flatnonzero(seen).astype(str)}
    columns |= {"arm": np.where(treated[seen], "challenger", "production"), "chance": 0.5, "lists": lists[seen]}
    columns |= {**dict.fromkeys(METRICS, 0.0), VIEW_SECONDS: 0.0, "first_shown": 0, "segment": "all"}
    frame = pd.DataFrame(columns)
    frame[config.metric] = clicked[seen]
    return UserSums(frame, {})


def seconds_to_rollback(broken: Policy, seed: int, config: WatchConfig) -> float:
    """After how many seconds of simulated traffic the watcher's limits take a fresh Production out; inf: not within two
    minutes. The predecessor was shown for ten minutes before."""
    population = _population(seed)
    before = _window(population, Policy(QUALITY), 10 * PER_MINUTE, 0.5)[0]
    shown: list[pd.DataFrame] = []
    clicked: list[pd.Series] = []
    for seconds in range(SECONDS_A_LOOK, 121, SECONDS_A_LOOK):
        _, lists, hit = _window(population, broken, PER_MINUTE * SECONDS_A_LOOK // 60, 0.5, first=len(shown) * 10**6)
        shown.append(lists)
        clicked.append(hit)
        if guard_limits.breaches(Window.of(pd.concat(shown), pd.concat(clicked)), before, config):
            return float(seconds)
    return float("inf")


def _window(
    population: Population, policy: Policy, n: int, moment: float, first: int = 0
) -> tuple[Window, pd.DataFrame, pd.Series]:
    users = population.visitors(n, moment)
    items = policy.lists(population, users, moment)
    hit = population.clicks(users, items, moment).any(axis=1)
    frame = pd.DataFrame({"request_id": np.arange(first, first + n), "user_id": users, "method": "als"})
    frame = frame.assign(n_items=(items >= 0).sum(axis=1), milliseconds=2.0, shown_at=0)
    clicked = pd.Series(frame["request_id"].to_numpy()[hit])
    return Window.of(frame, clicked), frame, clicked


def loop_simulations(runs: int, seed: int = 0) -> Iterator[Measurement]:
    """The figures of docs/feedback-loop.md: `runs` seeded simulations of each kind."""
    config, watch, seeds = ExperimentConfig(), WatchConfig(), range(seed, seed + runs)
    policy = better_by(LIFT)
    better = [promoted(policy, one, config) for one in seeds]
    share = sum(one for one, _ in better) / runs
    note = f"{runs} runs, true click-through {true_rate(policy) / true_rate(Policy(QUALITY)) - 1:+.1%}"
    yield Measurement("better challenger promoted, share of runs", share, at_least(0.95), note=note)
    yield Measurement("lists shown until the verdict, median", float(np.median([shown for _, shown in better])))
    equal = sum(promoted(Policy(QUALITY), one, config)[0] for one in seeds) / runs
    yield Measurement("equal challenger promoted, share of runs", equal, at_most(0.05), note="a look after every batch")
    held_out = range(HELD_OUT + seed, HELD_OUT + seed + runs)
    for name, broken in (("random", Policy(0.0)), ("empty", Policy(0.0, empty=True))):
        times = [seconds_to_rollback(broken, one, watch) for one in held_out]
        within = sum(one <= 60 for one in times) / runs
        yield Measurement(f"{name} Production out within a minute, share", within, at_least(1.0))
        yield Measurement(f"{name} Production out after, slowest", max(times), at_most(60.0), "s")
    kept = sum(np.isinf(seconds_to_rollback(Policy(QUALITY), one, watch)) for one in held_out) / runs
    yield Measurement("good Production kept for two minutes, share", float(kept), at_least(0.99), note="24 looks each")
