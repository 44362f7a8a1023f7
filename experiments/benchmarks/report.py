"""Measurements and their goals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A bound, and how it is written."""

    words: str
    holds: Callable[[float], bool]


def at_least(bound: float) -> Goal:
    return Goal(f">= {bound:g}", lambda value: value >= bound)


def at_most(bound: float) -> Goal:
    return Goal(f"<= {bound:g}", lambda value: value <= bound)


@dataclass(frozen=True)
class Measurement:
    """One measured figure; without a goal it is for information only. A name that begins with two spaces belongs to the
    figure above it."""

    name: str
    value: float
    goal: Goal | None = None
    unit: str = ""
    note: str = ""

    @property
    def reached(self) -> bool:
        return self.goal is None or self.goal.holds(self.value)

    def as_json(self) -> dict[str, object]:
        """The measurement as an object of the command's JSON output."""
        goal = None if self.goal is None else self.goal.words
        return {
            "name": self.name,
            "value": float(self.value),  # json knows no numbers of numpy
            "unit": self.unit,
            "goal": goal,
            "reached": bool(self.reached),
            "note": self.note,
        }

    def __str__(self) -> str:
        verdict = "" if self.goal is None else ("yes" if self.reached else "NO")
        goal = "" if self.goal is None else self.goal.words
        return f"{self.name:<52} {self.value:>10.5g} {self.unit:<3} {goal:<8} {verdict:<4} {self.note}".rstrip()
