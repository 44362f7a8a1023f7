"""Preparing millions of events, and popularity and ALS on them: seconds, memory, and what both grow with.

Every figure is of a process of its own (`python -m experiments.benchmarks.scale.data_job`), so that the greatest memory
is that of one piece of work. Seconds are of the clock; the note has the processor's, which say more on a busy machine.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.report import Measurement, at_least, at_most
from recstage.config import root
from recstage.errors import ExternalToolError

MEMORY = {3_000_000: "1100MB", 10_000_000: "1200MB", 30_000_000: "3GiB", math.inf: "8GiB"}
"""The setting up to so many events."""
SLOPE, EVENTS_A_SECOND = 1.1, 400_000
PREPARE_MB, SMALL_MB, TRAIN_MB = 8 * 1024, 1200, 12 * 1024
AGAINST_IMPLICIT = 1.1


def data_figures(folder: Path, sizes: Sequence[int]) -> Iterator[Measurement]:
    """Figures at each number of events, ascending; the last one has the goals of 100 million, and its events are also
    what popularity and ALS learn from. A tenth of the last is prepared in memory too, and from there on time must grow
    no faster than the goal. Raises `ExternalToolError` where a process fails."""
    last = max(sizes)
    prepared: dict[int, dict[str, Any]] = {}
    for size in sizes:
        case = f"{size:,} events"
        made = _job("generate", folder, size)
        yield Measurement(f"{case}: written to Parquet", made["seconds"], unit="s", note=_note(made))
        done = prepared[size] = _job("prepare", folder, size, _memory(size))
        goal = at_least(EVENTS_A_SECOND) if size == last else None
        note = f"{done['seconds']:.1f} s, {_note(done)}"
        yield Measurement(f"{case}: prepared a second", size / done["seconds"], goal, note=note)
        bound = {last: at_most(PREPARE_MB), last // 10: at_most(SMALL_MB)}.get(size)
        yield Measurement("  greatest memory", done["peak_mb"], bound, unit="MB", note=f"memory={_memory(size)}")
        if size == last // 10:
            plain = _job("in-memory", folder, size)
            note = f"out of core {done['seconds'] / plain['seconds']:.2f} x the time, {_note(plain)}"
            yield Measurement("  in memory: greatest memory", plain["peak_mb"], unit="MB", note=note)
    yield from _slopes(prepared, last // 10)
    yield from _models(folder, last)


def _slopes(prepared: dict[int, dict[str, Any]], linear_from: int) -> Iterator[Measurement]:
    """The power of the events that time grows with: a line through the logarithms, by least squares."""
    for start, goal in {min(prepared): None, linear_from: at_most(SLOPE)}.items():
        sizes = [size for size in prepared if size >= start]
        if len(sizes) < 2:
            continue
        for name, of in (("time", "seconds"), ("processor time", "processor_seconds")):
            slope = np.polyfit(np.log(sizes), np.log([prepared[size][of] for size in sizes]), 1)[0]
            note = f"of {len(sizes)} sizes"
            yield Measurement(f"slope of {name} from {start:,} to {max(sizes):,} events", slope, goal, note=note)


def _memory(size: int) -> str:
    return next(setting for events, setting in MEMORY.items() if size <= events)


def _models(folder: Path, size: int) -> Iterator[Measurement]:
    for name in ("popularity", "als"):
        done = _job(name, folder, size, _memory(size))
        note = f"fit {done['fit_seconds']:.0f} s, {done['users']:,.0f} users asked, {_note(done)}"
        goal = at_most(TRAIN_MB)
        yield Measurement(f"{size:,} events, {name}: greatest memory", done["peak_mb"], goal, unit="MB", note=note)
        if name == "als":
            bare = _job("implicit", folder, size, _memory(size))
            ratio = done["fit_processor_seconds"] / bare["fit_processor_seconds"]
            note = f"processor time; the clock {done['fit_seconds'] / bare['fit_seconds']:.2f} x"
            yield Measurement("  fit against bare implicit", ratio, at_most(AGAINST_IMPLICIT), unit="x", note=note)


def _note(done: dict[str, Any]) -> str:
    return f"processor {done['processor_seconds']:.0f} s"


def _job(name: str, folder: Path, size: int, memory: str = "") -> dict[str, Any]:
    command = [sys.executable, "-m", "experiments.benchmarks.scale.data_job", name, str(folder), str(size), memory]
    ended = subprocess.run(command, cwd=root(), stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        raise ExternalToolError(
            " ".join(["python", *command[1:]]),
            rule=f"it ended with status {ended.returncode}",
            fix="Its last lines say why",
        )
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found
