"""A second worker: the memory that it has for itself, and the requests that it adds."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

import psutil

from experiments.benchmarks.environment import BenchmarkEnvironment, Running
from experiments.benchmarks.report import Measurement, at_least, at_most
from experiments.benchmarks.scale import wrk

MOST_MB = 60.0
LEAST_SPEED_UP = 1.7
CONNECTIONS = 16
ROUNDS = 5
WITHOUT_LIMITS = {"cache_size": 0, "max_lag_ms": 60_000, "queue_lag_ms": 60_000, "poll_seconds": 5}


def worker_memory(environment: BenchmarkEnvironment, version: int) -> Iterator[Measurement]:
    """Two workers with an ALS, after a second of lists: the unique set size of the larger one, and of the process that
    both were forked from."""
    with environment.service("scale-workers", workers=2, cache_size=0) as service:
        service.until(lambda: len(service.children("worker")) == 2)
        service.serves(version)
        environment.ask(service, seconds=2.0, connections=16)
        workers = _own_mb(service, "worker")
        shared = _shared_mb(service)
        (server,) = _own_mb(service, "forkserver")
    note = f"2 workers: {', '.join(f'{one:.0f}' for one in workers)} MB; {shared:.0f} MB of each are shared"
    yield Measurement("memory of a worker's own", max(workers), at_most(MOST_MB), unit="MB", note=note)
    yield Measurement("  of the process they are forked from", server, unit="MB")


def worker_throughput(environment: BenchmarkEnvironment, version: int, seconds: float) -> Iterator[Measurement]:
    """Lists a second of a service of two workers against one of one, in turn, by `wrk`, whose processor time is told:
    what it takes of two cores the second worker cannot have. The last row has the most that a second one could give
    on this machine."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    generator = 0.0
    allowed = []
    with (
        environment.service("one-worker", **WITHOUT_LIMITS) as one,
        environment.service("two-workers", workers=2, **WITHOUT_LIMITS) as two,
    ):
        for service in (one, two):
            service.serves(version)
            wrk.ask(service.port, environment.lists(), seconds=1.0, connections=CONNECTIONS)
        for _ in range(ROUNDS):
            for workers, service in ((1, one), (2, two)):
                before = psutil.cpu_times()
                found = wrk.ask(service.port, environment.lists(), seconds / ROUNDS, CONNECTIONS)
                if workers == 1:
                    allowed.append(_all_over_busy(before, psutil.cpu_times()))
                rates[workers].append(found.a_second)
                generator += found.cpu_seconds / (2 * seconds)
    yield Measurement("one worker, requests/s, best round", max(rates[1]))
    yield Measurement("two workers, requests/s, best round", max(rates[2]))
    in_turn = median(b / a for a, b in zip(rates[1], rates[2], strict=True))
    note = f"median of the rounds in turn {in_turn:.2f}; the load generator took {generator:.0%} of a core"
    yield Measurement(
        "  two workers against one", max(rates[2]) / max(rates[1]), at_least(LEAST_SPEED_UP), unit="x", note=note
    )
    note = f"{psutil.cpu_count()} cores, beside one worker and what asks it"
    yield Measurement("  all cores, as a multiple of those busy with one worker", median(allowed), unit="x", note=note)


def _all_over_busy(before: Any, after: Any) -> float:
    """Processor time of all cores over what was not idle, between two readings."""
    spent = {name: getattr(after, name) - getattr(before, name) for name in after._fields if "guest" not in name}
    whole = sum(spent.values())
    return float(whole / (whole - spent["idle"] - spent.get("iowait", 0.0)))


def _own_mb(service: Running, kind: str) -> list[float]:
    return [psutil.Process(one.pid).memory_full_info().uss / 2**20 for one in service.children(kind)]


def _shared_mb(service: Running) -> float:
    found = [one.memory_full_info() for one in service.children("worker")]
    return min((one.rss - one.uss) / 2**20 for one in found)
