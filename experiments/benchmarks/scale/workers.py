"""Memory that a worker process has for itself, beside what it shares with the others."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from experiments.benchmarks.environment import BenchmarkEnvironment, Running
from experiments.benchmarks.report import Measurement, at_most

MOST_MB = 60.0


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


def _own_mb(service: Running, kind: str) -> list[float]:
    return [psutil.Process(one.pid).memory_full_info().uss / 2**20 for one in service.children(kind)]


def _shared_mb(service: Running) -> float:
    found = [one.memory_full_info() for one in service.children("worker")]
    return min((one.rss - one.uss) / 2**20 for one in found)
