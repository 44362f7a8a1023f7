"""Names of data sets and registered models, wherever they are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from recstage.commands import app
from recstage.config.naming import data_name, model_name, usable

BAD = ["../../evil", "a/b", "a\\b", ".", "..", ".x", "-x", " x", "x ", "a\nb", "x" * 121]


@pytest.mark.parametrize("name", ["shop", "my shop", "ml-1m.zip (2)", "Größe_1", "商品"])
def test_a_name_of_letters_digits_and_a_few_marks_is_one(name: str) -> None:
    assert data_name(name) == model_name(name) == name


@pytest.mark.parametrize("name", [*BAD, ""])
def test_a_data_set_is_not_called_so(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a data set has letters"):
        data_name(name)


@pytest.mark.parametrize("name", [*BAD, "a:b", "50%", "a?b", "a#b"])
def test_a_registered_model_is_not_called_so(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a registered model has letters"):
        model_name(name)


@pytest.mark.parametrize(
    ("text", "name"), [("../x", "-x"), (".hidden", "hidden"), ("a/b", "a-b"), ("é" * 100, "é" * 60)]
)
def test_of_any_text_a_name_can_be_made(text: str, name: str) -> None:
    assert usable(text).lstrip("-") == name.lstrip("-")


@pytest.mark.parametrize(
    "words",
    [
        ["train", "popularity", "--name", "../x"],
        ["promote", "--name", "../x"],
        ["rollback", "--name", "../x"],
        ["history", "--name", "../x"],
        ["compare", "--name", "../x"],
        ["prune", "--name", "../x"],
        ["evaluate", "--name", "../x"],
        ["register", "runs:/1/model", "--name", "../x"],
        ["serve", "--name", "../x"],
        ["precompute", "--name", "../x"],
        ["prepare", "--data.name", "../x"],
    ],
    ids=lambda words: words[0],
)
def test_every_subcommand_that_takes_a_name_refuses_a_bad_one_in_one_line(
    workspace: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(words) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert "has letters, digits" in told[-1]
    assert sum("recstage:" in line for line in told) == 1
