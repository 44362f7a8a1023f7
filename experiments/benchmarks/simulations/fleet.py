"""A fleet of the service as a discrete-event simulation: replicas with workers, a cache of lists, waves of model swaps.

Requests arrive as a Poisson process whose rate may rise for a while (`Burst`). Each goes to a replica, waits there in
one queue for the first free worker, and takes the time of a hit or of a miss of the cache. After a swap, replica after
replica, lists of the version before are no longer used, and workers are slower for as long as it loads. A request that
would wait longer than `refuse_after` is refused, as the service does under overload. Queues are first come, first
served: the state of a replica is the moments at which its workers become free (Kiefer and Wolfowitz 1955), so that the
simulation is exact.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import log
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.report import Measurement, at_most


@dataclass(frozen=True)
class Swap:
    """A promotion at `at` seconds: replica i begins `stagger` * i later, its workers are `slowdown` times as slow for
    `seconds`, and lists of the version before are no longer used."""

    at: float
    seconds: float
    stagger: float = 0.0
    slowdown: float = 1.5


@dataclass(frozen=True)
class Burst:
    """`times` as many arrivals between two moments."""

    begin: float
    end: float
    times: float


@dataclass(frozen=True)
class Fleet:
    """What is simulated; times in seconds.

    `hit`, `miss`: mean service times, distributed as `service` says. `users` come by Zipf's law with exponent 1; a list
    is in the cache for `keep` seconds after it was made (0: no cache), in one cache for all replicas (`shared`) or one
    each. `choose`: the replica at random, or the one with the fewest requests.
    """

    rate: float
    replicas: int = 1
    workers: int = 1
    miss: float = 0.002
    hit: float = 0.0005
    service: Literal["exponential", "fixed"] = "exponential"
    users: int = 100_000
    keep: float = 0.0
    shared: bool = False
    choose: Literal["random", "fewest"] = "fewest"
    refuse_after: float = float("inf")
    swaps: tuple[Swap, ...] = ()
    bursts: tuple[Burst, ...] = ()


@dataclass(frozen=True)
class Simulated:
    """Of every request: arrival, wait and time in the system (seconds, NaN where refused), and whether the cache had
    its list."""

    arrival: NDArray[np.float64]
    wait: NDArray[np.float64]
    total: NDArray[np.float64]
    hit: NDArray[np.bool_]
    busy: float
    """Share of the workers' time that was spent serving."""

    @property
    def refused(self) -> float:
        """Share of the requests."""
        return float(np.isnan(self.wait).mean())

    def percentile_ms(self, q: float, begin: float = 0.0, end: float = float("inf")) -> float:
        """Of the time in the system, of requests that arrived between two moments."""
        inside = (self.arrival >= begin) & (self.arrival < end) & ~np.isnan(self.total)
        return float(np.percentile(self.total[inside], q) * 1e3)


@dataclass
class _Replica:
    free: list[float]
    leaving: list[float] = field(default_factory=list)
    cached: dict[tuple[int, int], float] = field(default_factory=dict)

    def waiting(self, now: float) -> int:
        """Requests in this replica now, waiting or served."""
        while self.leaving and self.leaving[0] <= now:
            heapq.heappop(self.leaving)
        return len(self.leaving)


def simulate(fleet: Fleet, seconds: float, seed: int = 0, warm_up: float = 0.0) -> Simulated:
    """`seconds` of the fleet; requests of the first `warm_up` seconds are served and left out of the figures."""
    rng = np.random.default_rng(seed)
    arrivals = _arrivals(fleet, seconds, rng)
    users = _zipf(fleet.users, len(arrivals), rng)
    works = rng.exponential(1.0, len(arrivals)) if fleet.service == "exponential" else np.ones(len(arrivals))
    shared: dict[tuple[int, int], float] = {}
    replicas = [_Replica([0.0] * fleet.workers) for _ in range(fleet.replicas)]
    if fleet.shared:
        for one in replicas:
            one.cached = shared
    chosen = rng.integers(0, fleet.replicas, len(arrivals))
    waits, totals = np.full(len(arrivals), np.nan), np.full(len(arrivals), np.nan)
    hits, busy = np.zeros(len(arrivals), bool), 0.0
    for n, now in enumerate(arrivals.tolist()):
        place = int(chosen[n])
        if fleet.choose == "fewest":  # the fewest of all, the drawn one first among equals
            order = range(place, place + fleet.replicas)
            place = min((i % fleet.replicas for i in order), key=lambda i: replicas[i].waiting(now))  # noqa: B023
        one, user = replicas[place], int(users[n])
        start = max(now, one.free[0])
        if start - now > fleet.refuse_after:
            continue
        version, slowdown = _serving(fleet, place, start)
        made = one.cached.get((user, version), -np.inf)
        hits[n] = made > start - fleet.keep
        work = float(works[n]) * (fleet.hit if hits[n] else fleet.miss) * slowdown
        if fleet.keep and not hits[n]:
            one.cached[user, version] = start
        heapq.heapreplace(one.free, start + work)
        heapq.heappush(one.leaving, start + work)
        waits[n], totals[n] = start - now, start - now + work
        busy += work if now >= warm_up else 0.0
    kept = arrivals >= warm_up
    share = busy / (fleet.replicas * fleet.workers * (seconds - warm_up))
    return Simulated(arrivals[kept], waits[kept], totals[kept], hits[kept], share)


def erlang_c(rate: float, mean_service: float, workers: int) -> float:
    """Mean wait of M/M/c in seconds (Erlang 1917). Raises `ValueError` where the queue grows without end."""
    offered = rate * mean_service
    if offered >= workers:
        raise ValueError(f"{offered:g} of {workers} workers are asked for: the queue grows without end")
    blocked = 1.0  # Erlang B, by its recursion
    for n in range(1, workers + 1):
        blocked = offered * blocked / (n + offered * blocked)
    delayed = blocked / (1 - offered / workers * (1 - blocked))
    return delayed * mean_service / (workers - offered)


def _arrivals(fleet: Fleet, seconds: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Poisson arrivals, by thinning those of the highest rate."""
    highest = max((1.0, *(one.times for one in fleet.bursts)))
    n = rng.poisson(fleet.rate * highest * seconds)
    moments = np.sort(rng.uniform(0, seconds, n))
    times = np.ones(n)
    for one in fleet.bursts:
        times[(moments >= one.begin) & (moments < one.end)] = one.times
    return moments[rng.uniform(0, highest, n) < times]


def _zipf(users: int, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """User numbers whose chance falls as 1 / number, by the inverse of the continuous law."""
    return np.minimum(np.exp(rng.uniform(0, log(users + 1), n)).astype(np.int64), users)


def _serving(fleet: Fleet, replica: int, now: float) -> tuple[int, float]:
    """Which version the replica serves now, and how slow it is."""
    version, slowdown = 0, 1.0
    for one in fleet.swaps:
        begin = one.at + one.stagger * replica
        version += now >= begin
        if begin <= now < begin + one.seconds:
            slowdown = max(slowdown, one.slowdown)
    return version, slowdown


# -- the figures of docs/scale.md --------------------------------------------------------------------------------------

MISS, HIT = 0.008, 0.0003
"""Seconds of a worker for a list of a million items with new events folded in, and for one from the cache."""


def plan(rate: float, replicas: int, **changes: object) -> Fleet:
    """Replicas of four workers with a shared cache of a minute, for 100 million users."""
    fleet = Fleet(rate, replicas, 4, MISS, HIT, users=100_000_000, keep=60.0, shared=True, refuse_after=0.1)
    return replace(fleet, **changes)  # type: ignore[arg-type]


def fleet_figures(share: float, seed: int = 0) -> Iterator[Measurement]:
    """What theory knows, and what a fleet does when a version is promoted, when traffic doubles, when half of it is
    gone; `share` of the full length."""
    seconds = max(60.0, 600.0 * share)
    for workers in (1, 4, 16):
        known = erlang_c(0.8 * workers / 0.002, 0.002, workers)
        found = simulate(Fleet(0.8 * workers / 0.002, workers=workers), seconds, seed, warm_up=5.0).wait.mean()
        note = f"Erlang C: {known * 1e3:.3f} ms, simulated {found * 1e3:.3f}"
        away = abs(found / known - 1)
        yield Measurement(f"M/M/{workers} at 80 %: mean wait, distance from theory", away, at_most(0.1), note=note)
    rate, replicas, seconds = 3500.0, 12, max(30.0, 120.0 * share)
    third = seconds / 3
    cases = {
        "as planned": plan(rate, replicas),
        "a promotion to all at once": plan(rate, replicas, swaps=(Swap(third, 5.0),)),
        "a promotion, replica after replica": plan(rate, replicas, swaps=(Swap(third, 5.0, stagger=5.0),)),
        "twice the traffic for 10 s": plan(rate, replicas, bursts=(Burst(third, third + 10, 2.0),)),
        "half of the replicas": plan(rate, replicas // 2),
        "half of them, a promotion to all at once": plan(rate, replicas // 2, swaps=(Swap(third, 5.0),)),
        "no cache": plan(rate, replicas, keep=0.0),
    }
    for name, fleet in cases.items():
        found = simulate(fleet, seconds, seed)
        calm = found.percentile_ms(99, 0, third)
        p99 = found.percentile_ms(99, third, third + 10)
        note = f"before {calm:.1f}; busy {found.busy:.0%}, hits {found.hit.mean():.0%}, refused {found.refused:.2%}"
        goal = at_most(50.0) if name in ("as planned", *list(cases)[1:3]) else None
        yield Measurement(f"{rate:.0f}/s on {fleet.replicas} x 4, {name}: p99", p99, goal, "ms", note)


__all__ = ["Burst", "Fleet", "Simulated", "Swap", "erlang_c", "fleet_figures", "plan", "simulate"]
