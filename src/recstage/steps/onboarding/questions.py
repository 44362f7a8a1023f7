"""What is asked where the file leaves a doubt: at a terminal, else the guess is taken and said."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import typer

from recstage.errors import valid_names


@dataclass(frozen=True)
class Decision:
    """A doubt, and what was taken for it; `asked`: by the user's answer."""

    question: str
    taken: str
    asked: bool


@dataclass
class Questions:
    """Asks at a terminal unless `silent`; every decision is kept, with how it came about."""

    silent: bool
    decisions: list[Decision] = field(default_factory=list)

    @property
    def can_ask(self) -> bool:
        """Whether a user is there to answer."""
        return not self.silent and sys.stdin.isatty()

    def confirm(self, question: str, default: bool) -> bool:
        """Yes or no."""
        answer = typer.confirm(question, default=default, err=True) if self.can_ask else default
        self._keep(question, "yes" if answer else "no")
        return answer

    def choose(self, question: str, default: str, among: Sequence[str] = ()) -> str:
        """A word, one of `among` where it is not empty. A wrong one is asked for again, with the valid names."""
        if not self.can_ask:
            self._keep(question, default or "none")
            return default
        answer = str(typer.prompt(question, default=default, show_default=bool(default), err=True)).strip()
        while among and answer not in among:
            typer.echo(f"'{answer}': {valid_names(answer, [one for one in among if one])}", err=True)
            answer = str(typer.prompt(question, default=default, show_default=bool(default), err=True)).strip()
        self._keep(question, answer or "none")
        return answer

    def number(self, question: str, default: float, fits: Callable[[float], bool]) -> float:
        """A number that fits."""
        if not self.can_ask:
            self._keep(question, f"{default:g}")
            return default
        answer = float(typer.prompt(question, default=default, type=float, err=True))
        while not fits(answer):
            answer = float(typer.prompt(question, default=default, type=float, err=True))
        self._keep(question, f"{answer:g}")
        return answer

    def _keep(self, question: str, taken: str) -> None:
        self.decisions.append(Decision(question, taken, self.can_ask))
