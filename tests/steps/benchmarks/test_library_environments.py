"""Programs of other libraries: options by name on stdin, one JSON line back, one clear line where they fail."""

import ast
import sys

import pytest

from recstage.config import root
from recstage.errors import ExternalToolError
from recstage.steps.benchmarks import library_environments
from recstage.steps.benchmarks.library_environments import run_program, run_tool
from recstage.steps.benchmarks.library_measurement import NEUMF
from recstage.steps.benchmarks.library_quality import COMMON_ALS

ECHO = """
import csv, json, pathlib, sys
options = json.load(sys.stdin)
rows = list(csv.DictReader((pathlib.Path(sys.argv[1]) / "train.csv").open()))
print("chatter")
print(json.dumps({"options": options, "rows": len(rows), "columns": list(rows[0])}))
"""


@pytest.fixture
def program(workspace, monkeypatch):
    """A program that runs in the Python of these tests: (its text) -> None."""
    folder = workspace / "experiments" / "libraries"
    folder.mkdir(parents=True)
    monkeypatch.setattr(library_environments, "_environment", lambda name: sys.executable)
    return (folder / "echo.py").write_text


def test_a_program_is_given_rows_as_files_and_options_by_name(program, small_dataset):
    program(ECHO)
    train = small_dataset.split.train
    found = run_program("any", "echo", {"train": train}, factors=8, alpha=0.5)
    assert found == {
        "options": {"factors": 8, "alpha": 0.5},
        "rows": len(train),
        "columns": ["user", "item", "weight"],
    }


def test_a_program_that_fails_is_an_external_tool_error_with_its_last_words(program, small_dataset):
    program("import sys; sys.exit('no such factor')")
    with pytest.raises(ExternalToolError, match=r"echo: it ended with status 1 \(no such factor\)") as caught:
        run_program("any", "echo", {"train": small_dataset.split.train})
    assert caught.value.exit_code == 1


def test_a_program_that_is_not_there_is_an_external_tool_error(tmp_path):
    with pytest.raises(ExternalToolError, match="a tool: it cannot be started"):
        run_tool([str(tmp_path / "absent")], "a tool", "Install it")


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("lenskit_als", {*COMMON_ALS, "k"}),
        ("rectools_als", {*COMMON_ALS, "k"}),
        ("recbole_neumf", {*NEUMF, "epochs", "k"}),
    ],
)
def test_a_program_takes_the_options_that_the_comparisons_give_it(name, given):
    """Read from its source: the library that it imports is not installed here."""
    source = (root() / "experiments" / "libraries" / f"{name}.py").read_text()
    main = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "main")
    assert {argument.arg for argument in main.args.kwonlyargs} == given
