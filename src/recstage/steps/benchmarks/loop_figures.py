"""The figures of the closed loop (`benchmark --against loop`), measured by `python -m experiments.benchmarks`.

That program needs the service and simulated users, which the library knows nothing of; hence a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from recstage import markdown
from recstage.config import root
from recstage.errors import ExternalToolError

NAME = "loop"
BENCHMARKS = ("loop", "off-policy", "two-versions", "snapshot")
GOALS_MISSED = 1
"""Exit status of the program where all was measured, and a goal was missed."""


@dataclass(frozen=True)
class LoopFigure:
    """One measured figure; `goal` None: for information only. `note`: how it was measured."""

    name: str
    value: float
    unit: str
    goal: str | None
    reached: bool
    note: str


def measured(data: str, events: int, *, quick: bool) -> list[LoopFigure]:
    """All figures, their progress on stderr. `data`: what the served models are fitted to; `events`: of the
    snapshot; `quick`: a tenth of everything. Raises `ExternalToolError` where the program fails."""
    command = [sys.executable, "-m", "experiments.benchmarks", *BENCHMARKS, "--data", data, "--events", str(events)]
    done = subprocess.run(
        [*command, *(["--quick"] if quick else [])], cwd=root(), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode not in (0, GOALS_MISSED):
        raise ExternalToolError(
            " ".join(["python", *command[1:]]),
            rule=f"it ended with status {done.returncode}",
            fix="Its last lines say why; run it from the repository",
        )
    return [LoopFigure(**row) for row in json.loads(done.stdout)]


def in_markdown(figures: list[LoopFigure]) -> str:
    """The table of the docs."""
    rows = [
        [one.name, f"{one.value:.4g} {one.unit}".strip(), one.goal or "", _reached(one), one.note] for one in figures
    ]
    return markdown.table(["figure", "measured", "goal", "reached", "how"], rows)


def metrics(figures: list[LoopFigure]) -> dict[str, float]:
    """The figures as metrics of a run."""
    return {"loop_" + "_".join(_words(one.name)): one.value for one in figures if one.value == one.value}


def _reached(one: LoopFigure) -> str:
    return "" if one.goal is None else "yes" if one.reached else "no"


def _words(name: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in name).split()
