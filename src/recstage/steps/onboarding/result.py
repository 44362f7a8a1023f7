"""All that a first look at a file found and decided."""

from __future__ import annotations

from dataclasses import dataclass

from recstage.steps.onboarding.facts.form import Form
from recstage.steps.onboarding.facts.profile import Profile
from recstage.steps.onboarding.proposal import Weight
from recstage.steps.onboarding.questions import Decision


@dataclass(frozen=True)
class ColumnSeen:
    """A column of the file: what it means (nothing: not read), how that is known, its first values."""

    name: str
    means: str
    why: str
    examples: list[str]


@dataclass(frozen=True)
class InitResult:
    """`columns`: ours to the file's; `models` with reasons, the first one first; `next`: the commands that follow."""

    name: str
    path: str
    yaml: str
    page: str
    report: str
    columns: dict[str, str]
    table: list[ColumnSeen]
    form: Form | None
    profile: Profile
    weights: dict[str, Weight]
    split: str
    split_why: str
    models: dict[str, str]
    warnings: list[str]
    notes: list[str]
    decisions: list[Decision]
    next: list[str]
