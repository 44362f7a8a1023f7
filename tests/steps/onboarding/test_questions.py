"""Where a first look is unsure it asks at a terminal; else it takes its guess and says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from recstage.config import named_yaml
from recstage.steps.onboarding import init
from recstage.steps.onboarding.questions import Questions
from tests.steps.onboarding.shops import rows_of_a_shop, written


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, *answers: object) -> list[str]:
    """Gives answers in their order; returns the questions that were asked."""
    asked: list[str] = []
    left = iter(answers)

    def answer(question: str, **_: object) -> object:
        asked.append(question)
        return next(left)

    monkeypatch.setattr(Questions, "can_ask", property(lambda self: not self.silent))
    monkeypatch.setattr(typer, "prompt", answer)
    monkeypatch.setattr(typer, "confirm", answer)
    return asked


def unknown(folder: Path) -> Path:
    kinds = {"pageview": "aaa", "add_to_basket": "bbb", "purchase": "ccc"}
    rows = [[user[1:], item[1:], f"0{1 + at % 9}/0{1 + at % 8}/2026", kinds[kind]]
            for at, (user, item, _, kind) in enumerate(rows_of_a_shop())]  # fmt: skip
    return written(folder / "e.csv", rows, ("q", "w", "date", "type"))


def test_doubts_are_asked_and_the_answers_are_in_the_yaml(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = at_a_terminal(monkeypatch, "w", "q", False, 0.2, 0.3, 0.4)
    result = init.run(init.settings_from(["--path", str(unknown(workspace))]))
    assert [one.split()[0] for one in asked] == ["q", "q", "In", "What", "What", "What"]
    values = named_yaml("data", "e")
    assert (values["source"]["columns"]["user_id"], values["source"]["columns"]["item_id"]) == ("w", "q")
    assert values["source"]["time"] == "day-first"
    assert sorted(values["weights"].values()) == [0.2, 0.3, 0.4]
    assert all(one.asked for one in result.decisions)


def test_a_wrong_column_is_asked_for_again(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = at_a_terminal(monkeypatch, "nonsense", "q", "w", True, 1.0, 1.0, 1.0)
    result = init.run(init.settings_from(["--path", str(unknown(workspace))]))
    assert len(asked) == 7
    assert result.columns["user_id"] == "q"


def test_with_yes_nothing_is_asked_and_the_guesses_are_told(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = at_a_terminal(monkeypatch)
    result = init.run(init.settings_from(["--path", str(unknown(workspace)), "--yes", "true"]))
    assert asked == []
    assert len(result.decisions) == 6
    assert not any(one.asked for one in result.decisions)


def test_a_yaml_that_is_there_is_replaced_only_by_a_yes(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(workspace / "e.csv", rows_of_a_shop())
    init.run(init.settings_from(["--path", str(path)]))
    asked = at_a_terminal(monkeypatch, True)
    init.run(init.settings_from(["--path", str(path)]))
    assert asked == ["conf/data/e.yaml is there. Replace it?"]
