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

from experiments.benchmarks.report import Measurement, at_least, at_most
from recstage.config import root
from recstage.errors import ExternalToolError

MEMORY = {1_000_000: "1100MB", 10_000_000: "1200MB"}
LARGEST_MEMORY = "8GiB"
SLOPE, EVENTS_A_SECOND = 1.1, 400_000
PREPARE_MB, SMALL_MB, TRAIN_MB = 8 * 1024, 1200, 12 * 1024
AGAINST_IMPLICIT = 1.1


def data_figures(folder: Path, sizes: Sequence[int]) -> Iterator[Measurement]:
    """Figures at each number of events, ascending; the last one has the goals of 100 million, and its events are also
    what popularity and ALS learn from. Raises `ExternalToolError` where a process fails."""
    before: dict[str, Any] = {}
    for size in sizes:
        largest = size == max(sizes)
        memory = LARGEST_MEMORY if largest else MEMORY.get(size, LARGEST_MEMORY)
        case = f"{size:,} events"
        made = _job("generate", folder, size)
        yield Measurement(f"{case}: written to Parquet", made["seconds"], unit="s", note=_note(made))
        done = _job("prepare", folder, size, memory)
        goal = at_least(EVENTS_A_SECOND) if largest else None
        note = f"{done['seconds']:.0f} s, {_note(done)}"
        yield Measurement(f"{case}: prepared a second", size / done["seconds"], goal, note=note)
        bound = PREPARE_MB if largest else SMALL_MB
        yield Measurement("  greatest memory", done["peak_mb"], at_most(bound), unit="MB", note=f"memory={memory}")
        if before:
            grown = math.log(size / before["events"])
            for name, of in (("time", "seconds"), ("processor time", "processor_seconds")):
                slope = math.log(done[of] / before[of]) / grown
                goal = at_most(SLOPE) if largest else None
                yield Measurement(f"  slope of {name} from {before['events']:,}", slope, goal)
        else:
            plain = _job("in-memory", folder, size)
            note = f"out of core {done['seconds'] / plain['seconds']:.2f} x the time, {_note(plain)}"
            yield Measurement("  in memory: greatest memory", plain["peak_mb"], unit="MB", note=note)
        before = {"events": size, **done}
    yield from _models(folder, max(sizes))


def _models(folder: Path, size: int) -> Iterator[Measurement]:
    for name in ("popularity", "als"):
        done = _job(name, folder, size, LARGEST_MEMORY)
        note = f"fit {done['fit_seconds']:.0f} s, {done['users']:,.0f} users asked, {_note(done)}"
        goal = at_most(TRAIN_MB)
        yield Measurement(f"{size:,} events, {name}: greatest memory", done["peak_mb"], goal, unit="MB", note=note)
        if name == "als":
            bare = _job("implicit", folder, size, LARGEST_MEMORY)
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
