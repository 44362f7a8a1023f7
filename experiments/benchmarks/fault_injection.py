"""What happens when it goes wrong: versions that move under load, many swaps, things away, too much to do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from experiments.benchmarks.environment import Running, Scene
from experiments.benchmarks.load_generator import Report
from experiments.benchmarks.performance import SHARE_OF_SATURATION, click_everywhere
from experiments.benchmarks.report import Row, at_most

ALLOWED_UNDER_LOAD = {200, 429, 503}


def promotions(scene: Scene, versions: tuple[int, int], moves: int, seconds: float) -> Iterator[Row]:
    """Promote and roll back under a steady load: nobody fails, no list is mixed of two versions."""
    scene.promote(versions[0])
    with scene.service("promotions", cache_size=0) as service:
        service.serves(versions[0])
        saturated = scene.ask(service, seconds=3.0)
        rate = saturated.a_second * SHARE_OF_SATURATION / 2
        calm = [scene.ask(service, seconds=min(10.0, seconds), rate=rate)]
        slowest = 0.0
        with scene.asking(service, seconds=seconds, rate=rate, follow_versions=True) as finish:
            pause = seconds / (moves + 1)
            for move in range(moves):
                began = time.monotonic()
                version = versions[(move + 1) % 2]
                scene.promote(version)
                slowest = max(slowest, service.serves(version))
                time.sleep(max(0.0, pause - (time.monotonic() - began)))
            report = finish()
        calm.append(scene.ask(service, seconds=min(10.0, seconds), rate=rate))
    without = sum(one.p99_ms for one in calm) / len(calm)  # of before and after: the machine's speed may change
    yield Row(f"{moves} promotions and rollbacks, requests that failed", report.failed, at_most(0), "", _said(report))
    yield Row("  lists mixed of two versions", report.mixed, at_most(0))
    yield Row("  turns of the version that were seen", len(report.versions), note=f"{moves + 1} are all")
    yield Row("  slowest to follow", slowest, at_most(2.0), unit="s")
    yield Row("  p99, as a multiple of without", report.p99_ms / without, at_most(2.0), "x", _p99(without, report))


def swaps(scene: Scene, versions: tuple[int, int], number: int) -> Iterator[Row]:
    """Swap again and again: memory and descriptors stay."""
    scene.promote(versions[0])
    with scene.service("swaps") as service:
        service.serves(versions[0])
        settled: tuple[float, int] | None = None
        for swap in range(number):
            version = versions[(swap + 1) % 2]
            scene.promote(version)
            service.serves(version)
            if swap == min(9, number // 2):  # both versions have been served a few times
                settled = service.resident_mb(), service.descriptors()
        assert settled is not None
        growth = service.resident_mb() / settled[0] - 1
        yield Row(f"{number} swaps, growth of memory", growth * 100, at_most(10.0), "%", f"from {settled[0]:.0f} MB")
        yield Row("  descriptors more than before", service.descriptors() - settled[1], at_most(0))


def away(scene: Scene, version: int, seconds: float) -> Iterator[Row]:
    """Read while the database, then the registry, is away; and start with the registry away."""
    scene.promote(version)
    with scene.service("away", cache_size=0) as service:
        service.serves(version)
        click_everywhere(scene, service)
        with _gone(scene.folder / "away.db"):
            report = scene.ask(service, seconds=seconds, connections=4)
            degraded = b'"degraded":true' in service.call("GET", f"/api/recommendations?user_id={scene.users[0]}")[1]
        yield Row("database away, requests that failed", report.failed, at_most(0), "", f"degraded flag: {degraded}")
        with _gone(scene.folder / "mlflow.db"):
            report = scene.ask(service, seconds=seconds, connections=4)
            yield Row("registry away, requests that failed", report.failed, at_most(0), "", _said(report))
    with _gone(scene.folder / "mlflow.db"), scene.service("away", cache_size=0) as service:
        took = service.serves(version)
        yield Row("started with the registry away, to answering", took, at_most(3.0), unit="s")


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


def overload(scene: Scene, version: int, seconds: float) -> Iterator[Row]:
    """Three times more than it can: it answers what it can, refuses the rest quickly, and is itself again soon."""
    scene.promote(version)
    with scene.service("overload", cache_size=0) as service:
        service.serves(version)
        saturated = scene.ask(service, seconds=5.0)
        calm = scene.ask(service, seconds=5.0, rate=saturated.a_second * SHARE_OF_SATURATION)
        report = scene.ask(service, seconds=seconds, rate=3 * saturated.a_second)
        recovery = _recovery(scene, service, calm, saturated.a_second * SHARE_OF_SATURATION)
    strange = sum(number for status, number in report.statuses.items() if status not in ALLOWED_UNDER_LOAD)
    latencies = f"{_p99(calm.p99_ms, report)}, of which the caller {report.late_p99_ms:.1f} ms"
    yield Row("3 x saturation, answers beside 200, 429, 503", strange, at_most(0), "", _said(report))
    yield Row("  due, but never sent: all connections waited", report.unsent)
    yield Row("  answered, of what it can at most", report.a_second / saturated.a_second * 100, unit="%")
    yield Row("  p99 of an answer, the caller's own delay included", report.p99_ms, unit="ms", note=latencies)
    yield Row("  p99 of a refusal", report.refused_p99_ms, unit="ms")
    yield Row("  back to normal after", recovery, at_most(5.0), unit="s")


def _recovery(scene: Scene, service: Running, calm: Report, rate: float) -> float:
    """How long after the storm a second of calm load is answered whole, and about as fast as before."""
    began = time.monotonic()
    while time.monotonic() - began < 60:
        asked_at = time.monotonic()
        report = scene.ask(service, seconds=1.0, rate=rate)
        if report.failed == 0 and report.p99_ms < max(3 * calm.p99_ms, 20.0):
            return asked_at - began
    return 60.0


def _said(report: Report) -> str:
    return ", ".join(f"{status or 'none'}: {number}" for status, number in report.statuses.items())


def _p99(without: float, during: Report) -> str:
    return f"{without:.1f} -> {during.p99_ms:.1f} ms"
