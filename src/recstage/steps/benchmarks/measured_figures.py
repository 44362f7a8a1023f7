"""Figures that `python -m experiments.benchmarks` measures, as a set: `benchmark --against loop`, `--against scale`.

That program needs the service and simulated users, which the library knows nothing of; hence a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recstage import markdown, tracking
from recstage.config import root
from recstage.errors import ExternalToolError

MEASURED = (0, 1)
"""Exit statuses of the program where all was measured: 1, a goal was missed. Python ends with 1 as well where a program
breaks off, which then has printed nothing."""


@dataclass(frozen=True)
class FigureSet:
    """`words` say what is measured; `calls` name the benchmarks, those of one call in one process. Where there are
    several calls, one that fails (an extra that is missing) is left out of the table, with the reason."""

    words: str
    calls: tuple[tuple[str, ...], ...]


SETS: Mapping[str, FigureSet] = {
    "loop": FigureSet("the closed loop", (("loop", "off-policy", "two-versions", "snapshot"),)),
    "scale": FigureSet(
        "growth", (("scale-data",), ("scale-ray",), ("scale-index",), ("scale-workers",), ("scale-fleet",))
    ),
}


@dataclass(frozen=True)
class Figure:
    """One measured figure; `goal` None: for information only. `note`: how it was measured. A name that begins with two
    spaces belongs to the figure above it."""

    name: str
    value: float
    unit: str
    goal: str | None
    reached: bool
    note: str


def measured(name: str, data: str, events: int, *, quick: bool) -> tuple[list[Figure], dict[str, str]]:
    """All figures of a set, their progress on stderr, and by benchmark, why it was left out. `data`: what the served
    models are fitted to; `events`: of the snapshot; `quick`: a tenth of everything. Raises `ExternalToolError` where
    the program fails and nothing was measured."""
    found: list[Figure] = []
    failed: dict[str, str] = {}
    command: list[str] = []
    status = 0
    for benchmarks in SETS[name].calls:
        command = [sys.executable, "-m", "experiments.benchmarks", *benchmarks, "--data", data, "--events", str(events)]
        done = subprocess.run(
            [*command, *(["--quick"] if quick else [])],
            cwd=root(),
            env=tracking.outside_environment(),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        rows = _rows(done.stdout) if done.returncode in MEASURED else []
        found += rows
        if not rows:
            status = done.returncode
            failed[", ".join(benchmarks)] = f"it ended with status {status}; its last lines say why"
    if not found:
        raise ExternalToolError(
            " ".join(["python", *command[1:]]),
            rule=f"it ended with status {status}",
            fix="Its last lines say why; run it from the repository",
        )
    return found, failed


def _rows(written: str) -> list[Figure]:
    """The figures on the last line of what a benchmark has written; none where it broke off before."""
    try:
        return [Figure(**row) for row in json.loads(written.strip().rpartition("\n")[2])]
    except (json.JSONDecodeError, TypeError):
        return []


def in_markdown(figures: Sequence[Figure]) -> str:
    """The table of the docs."""
    rows = [
        [_named(one), f"{one.value:.4g} {one.unit}".strip(), one.goal or "", _reached(one), one.note] for one in figures
    ]
    return markdown.table(["figure", "measured", "goal", "reached", "how"], rows)


def metrics(name: str, figures: Sequence[Figure]) -> dict[str, float]:
    """The figures of a set as metrics of a run. Where several have one name, each after the first is numbered."""
    found: dict[str, float] = {}
    for one in figures:
        key = f"{name}_" + "_".join(_words(one.name))
        same = sum(other == key or other.startswith(f"{key}__") for other in found)
        if one.value == one.value:
            found[f"{key}__{same + 1}" if same else key] = one.value
    return found


def _named(one: Figure) -> str:
    return f"… {one.name.lstrip()}" if one.name.startswith("  ") else one.name


def _reached(one: Figure) -> str:
    return "" if one.goal is None else "yes" if one.reached else "no"


def _words(name: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in name).split()
