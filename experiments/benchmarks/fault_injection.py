"""What happens when it goes wrong: versions that move under load, many swaps, things away, too much to do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from experiments.benchmarks.environment import BenchmarkEnvironment, Running
from experiments.benchmarks.load_generator import Report
from experiments.benchmarks.performance import SHARE_OF_SATURATION, click_everywhere
from experiments.benchmarks.report import Measurement, at_most

ALLOWED_UNDER_LOAD = {200, 429, 503}


def promotions(
    environment: BenchmarkEnvironment, versions: tuple[int, int], moves: int, seconds: float
) -> Iterator[Measurement]:
    """Promote and roll back under a steady load: nobody fails, no list is mixed of two versions."""
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
    without = sum(one.p99_ms for one in calm) / len(calm)  # of before and after: the machine's speed may change
    yield Measurement(
        f"{moves} promotions and rollbacks, requests that failed", report.failed, at_most(0), "", _said(report)
    )
    yield Measurement("  lists mixed of two versions", report.mixed, at_most(0))
    yield Measurement("  turns of the version that were seen", len(report.versions), note=f"{moves + 1} are all")
    yield Measurement("  slowest to follow", slowest, at_most(2.0), unit="s")
    yield Measurement(
        "  p99, as a multiple of without", report.p99_ms / without, at_most(2.0), "x", _p99(without, report)
    )


def swaps(environment: BenchmarkEnvironment, versions: tuple[int, int], number: int) -> Iterator[Measurement]:
    """Swap again and again: memory and descriptors stay."""
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
        yield Measurement("  descriptors more than before", service.descriptors() - settled[1], at_most(0))


def away(environment: BenchmarkEnvironment, version: int, seconds: float) -> Iterator[Measurement]:
    """Read while the database, then the registry, is away; and start with the registry away."""
    environment.promote(version)
    with environment.service("away", cache_size=0) as service:
        service.serves(version)
        click_everywhere(environment, service)
        with _gone(environment.folder / "away.db"):
            report = environment.ask(service, seconds=seconds, connections=4)
            degraded = (
                b'"degraded":true' in service.call("GET", f"/api/recommendations?user_id={environment.users[0]}")[1]
            )
        yield Measurement(
            "database away, requests that failed", report.failed, at_most(0), "", f"degraded flag: {degraded}"
        )
        with _gone(environment.folder / "mlflow.db"):
            report = environment.ask(service, seconds=seconds, connections=4)
            yield Measurement("registry away, requests that failed", report.failed, at_most(0), "", _said(report))
    with _gone(environment.folder / "mlflow.db"), environment.service("away", cache_size=0) as service:
        took = service.serves(version)
        yield Measurement("started with the registry away, to answering", took, at_most(3.0), unit="s")


class _gone:  # noqa: N801  reads as a word in a with statement
    """A SQLite database that cannot be opened: its files are moved away, and a folder lies in its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]

    def __enter__(self) -> None:
        for file in self._files:
            if file.exists():
                os.replace(file, file.with_name(file.name + ".gone"))
        self._path.mkdir()

    def __exit__(self, *_: object) -> None:
        self._path.rmdir()
        for file in self._files:
            kept = file.with_name(file.name + ".gone")
            if kept.exists():
                os.replace(kept, file)


def overload(environment: BenchmarkEnvironment, version: int, seconds: float) -> Iterator[Measurement]:
    """Three times more than it can: it answers what it can, refuses the rest quickly, and is itself again soon."""
    environment.promote(version)
    with environment.service("overload", cache_size=0) as service:
        service.serves(version)
        saturated = environment.ask(service, seconds=5.0)
        calm = environment.ask(service, seconds=5.0, rate=saturated.a_second * SHARE_OF_SATURATION)
        report = environment.ask(service, seconds=seconds, rate=3 * saturated.a_second)
        recovery = _recovery(environment, service, calm, saturated.a_second * SHARE_OF_SATURATION)
    strange = sum(number for status, number in report.statuses.items() if status not in ALLOWED_UNDER_LOAD)
    latencies = f"{_p99(calm.p99_ms, report)}, of which the caller {report.late_p99_ms:.1f} ms"
    yield Measurement("3 x saturation, answers beside 200, 429, 503", strange, at_most(0), "", _said(report))
    yield Measurement("  due, but never sent: all connections waited", report.unsent)
    yield Measurement("  answered, of what it can at most", report.a_second / saturated.a_second * 100, unit="%")
    yield Measurement("  p99 of an answer, the caller's own delay included", report.p99_ms, unit="ms", note=latencies)
    yield Measurement("  p99 of a refusal", report.refused_p99_ms, unit="ms")
    yield Measurement("  back to normal after", recovery, at_most(5.0), unit="s")


def _recovery(environment: BenchmarkEnvironment, service: Running, calm: Report, rate: float) -> float:
    """How long after the storm a second of calm load is answered whole, and about as fast as before."""
    began = time.monotonic()
    while time.monotonic() - began < 60:
        poll_requested_at = time.monotonic()
        report = environment.ask(service, seconds=1.0, rate=rate)
        if report.failed == 0 and report.p99_ms < max(3 * calm.p99_ms, 20.0):
            return poll_requested_at - began
    return 60.0


def _said(report: Report) -> str:
    return ", ".join(f"{status or 'none'}: {number}" for status, number in report.statuses.items())


def _p99(without: float, during: Report) -> str:
    return f"{without:.1f} -> {during.p99_ms:.1f} ms"
