"""Fault injection: promotions under load, many model swaps, outages, and overload.

`promotions`: no request fails, no list mixes two versions, each change is followed within 2 s, p99 at most doubles.
`swaps`: memory grows by at most 10 %, no file descriptor is lost. `outages`: with the database or the registry
unavailable no request fails, and the service starts within 3 s. `overload`: at three times saturation every answer is
200, 429 or 503, and the service is back to normal within 5 s.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from experiments.benchmarks.environment import BenchmarkEnvironment, Running
from experiments.benchmarks.load_generator import Report
from experiments.benchmarks.performance import SHARE_OF_SATURATION, add_clicks
from experiments.benchmarks.report import Measurement, at_most

ALLOWED_UNDER_LOAD = {200, 429, 503}


def promotions(
    environment: BenchmarkEnvironment, versions: tuple[int, int], moves: int, seconds: float
) -> Iterator[Measurement]:
    """Promote and roll back `moves` times within `seconds`, under a steady load."""
    environment.promote(versions[0])
    with environment.service("promotions", cache_size=0) as service:
        service.serves(versions[0])
        saturated = environment.ask(service, seconds=3.0)
        rate = saturated.a_second * SHARE_OF_SATURATION / 2
        calm = [environment.ask(service, seconds=min(10.0, seconds), rate=rate)]
        slowest = 0.0
        with environment.asking(service, seconds=seconds, rate=rate, follow_versions=True) as finish:
            pause = seconds / (moves + 1)
            for move in range(moves):
                began = time.monotonic()
                version = versions[(move + 1) % 2]
                environment.promote(version)
                slowest = max(slowest, service.serves(version))
                time.sleep(max(0.0, pause - (time.monotonic() - began)))
            report = finish()
        calm.append(environment.ask(service, seconds=min(10.0, seconds), rate=rate))
    without = sum(one.p99_ms for one in calm) / len(calm)  # mean of before and after: the machine's speed may change
    yield Measurement(
        f"{moves} promotions and rollbacks, requests that failed", report.failed, at_most(0), "", _statuses(report)
    )
    yield Measurement("  lists mixed of two versions", report.mixed, at_most(0))
    yield Measurement("  version changes seen by the caller", len(report.versions), note=f"of {moves + 1}")
    yield Measurement("  slowest to follow", slowest, at_most(2.0), unit="s")
    yield Measurement(
        "  p99, as a multiple of without", report.p99_ms / without, at_most(2.0), "x", _p99(without, report)
    )


def swaps(environment: BenchmarkEnvironment, versions: tuple[int, int], number: int) -> Iterator[Measurement]:
    """Swap the model `number` times, and compare memory and file descriptors with those after the first swaps."""
    environment.promote(versions[0])
    with environment.service("swaps") as service:
        service.serves(versions[0])
        settled: tuple[float, int] | None = None
        for swap in range(number):
            version = versions[(swap + 1) % 2]
            environment.promote(version)
            service.serves(version)
            if swap == min(9, number // 2):  # both versions have been served a few times
                settled = service.resident_mb(), service.descriptors()
        assert settled is not None
        growth = service.resident_mb() / settled[0] - 1
        yield Measurement(
            f"{number} swaps, growth of memory", growth * 100, at_most(10.0), "%", f"from {settled[0]:.0f} MB"
        )
        yield Measurement("  file descriptors more than before", service.descriptors() - settled[1], at_most(0))


def outages(environment: BenchmarkEnvironment, version: int, seconds: float) -> Iterator[Measurement]:
    """Read while the database, then the registry, is unavailable; and start without the registry."""
    environment.promote(version)
    with environment.service("outages", cache_size=0) as service:
        service.serves(version)
        add_clicks(environment, service)
        with Unavailable(environment.folder / "outages.db"):
            report = environment.ask(service, seconds=seconds, connections=4)
            degraded = (
                b'"degraded":true' in service.call("GET", f"/api/recommendations?user_id={environment.users[0]}")[1]
            )
        yield Measurement(
            "database unavailable, requests that failed", report.failed, at_most(0), "", f"degraded flag: {degraded}"
        )
        with Unavailable(environment.folder / "mlflow.db"):
            report = environment.ask(service, seconds=seconds, connections=4)
            yield Measurement(
                "registry unavailable, requests that failed", report.failed, at_most(0), "", _statuses(report)
            )
    with Unavailable(environment.folder / "mlflow.db"), environment.service("outages", cache_size=0) as service:
        took = service.serves(version)
        yield Measurement("start to answering, registry unavailable", took, at_most(3.0), unit="s")


class Unavailable:
    """While a SQLite database cannot be opened: its files are renamed, and a folder is in its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]

    def __enter__(self) -> None:
        for file in self._files:
            if file.exists():
                os.replace(file, file.with_name(file.name + ".renamed"))
        self._path.mkdir()

    def __exit__(self, *_: object) -> None:
        self._path.rmdir()
        for file in self._files:
            kept = file.with_name(file.name + ".renamed")
            if kept.exists():
                os.replace(kept, file)


def overload(environment: BenchmarkEnvironment, version: int, seconds: float) -> Iterator[Measurement]:
    """Load of three times the saturation for `seconds`, then the time until it is back to normal."""
    environment.promote(version)
    with environment.service("overload", cache_size=0) as service:
        service.serves(version)
        saturated = environment.ask(service, seconds=5.0)
        calm = environment.ask(service, seconds=5.0, rate=saturated.a_second * SHARE_OF_SATURATION)
        report = environment.ask(service, seconds=seconds, rate=3 * saturated.a_second)
        recovery = _recovery(environment, service, calm, saturated.a_second * SHARE_OF_SATURATION)
    unexpected = sum(number for status, number in report.statuses.items() if status not in ALLOWED_UNDER_LOAD)
    latencies = f"{_p99(calm.p99_ms, report)}, of which the caller's {report.late_p99_ms:.1f} ms"
    yield Measurement("3 x saturation, answers other than 200, 429, 503", unexpected, at_most(0), "", _statuses(report))
    yield Measurement("  due, but not sent: all connections were waiting", report.unsent)
    yield Measurement("  answered, of saturation", report.a_second / saturated.a_second * 100, unit="%")
    yield Measurement("  p99 of an answer, including the caller's delay", report.p99_ms, unit="ms", note=latencies)
    yield Measurement("  p99 of a to_store_error", report.refused_p99_ms, unit="ms")
    yield Measurement("  back to normal after", recovery, at_most(5.0), unit="s")


def _recovery(environment: BenchmarkEnvironment, service: Running, calm: Report, rate: float) -> float:
    """Seconds after the overload until one second of calm load has no failure and about the latency of before."""
    began = time.monotonic()
    while time.monotonic() - began < 60:
        started = time.monotonic()
        report = environment.ask(service, seconds=1.0, rate=rate)
        if report.failed == 0 and report.p99_ms < max(3 * calm.p99_ms, 20.0):
            return started - began
    return 60.0


def _statuses(report: Report) -> str:
    return ", ".join(f"{status or 'none'}: {number}" for status, number in report.statuses.items())


def _p99(without: float, during: Report) -> str:
    return f"{without:.1f} -> {during.p99_ms:.1f} ms"
