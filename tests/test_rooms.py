"""Imports point down only: a room may know the rooms below it, never those above (docs/guide.md, "Rooms")."""

import ast
from pathlib import Path

import pytest

from recstage.config import root

LEVELS = [
    {"errors"},
    {"config"},
    {"data"},
    {"models"},
    {"rerank", "evaluation"},
    {"bundle", "plots", "mlproject"},
    {"pyfunc_model", "pyfunc_code", "model_card", "entry"},
    {"tracking", "tuning"},
    {"gate", "registry"},
    {"steps"},
]
HEIGHT = {room: height for height, level in enumerate(LEVELS) for room in level}
SERVING_MAY_USE = {"pyfunc_model", "errors", "config", "data", "models", "rerank", "bundle", "registry", "tracking"}


def imported(path: Path) -> set[str]:
    """Rooms of recstage (or 'serving') that a file names in its import statements."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "recstage" else [f"recstage.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "recstage" and rest:
                found.add(rest.split(".")[0])
            elif top in ("serving", "experiments", "tests"):
                found.add(top)
    return found


def files_of(folder: str) -> list[Path]:
    return sorted((root() / folder).rglob("*.py"))


@pytest.mark.parametrize("path", files_of("src/recstage"), ids=lambda path: path.relative_to(root()).as_posix())
def test_every_arrow_points_down(path):
    room = path.relative_to(root() / "src" / "recstage").with_suffix("").parts[0]
    if room == "__init__":
        assert imported(path) == set()
        return
    assert room in HEIGHT, f"{room} is a new room: give it its height in this test and in docs/guide.md"
    above = {other for other in imported(path) if HEIGHT.get(other, len(LEVELS)) > HEIGHT[room]}
    beside = {other for other in imported(path) if other != room and HEIGHT.get(other) == HEIGHT[room]}
    assert above == set()
    assert not (room in {"models", "data"} and beside)


@pytest.mark.parametrize("path", files_of("serving"), ids=lambda path: path.relative_to(root()).as_posix())
def test_the_service_uses_only_what_serving_needs(path):
    assert imported(path) - {"serving"} <= SERVING_MAY_USE


@pytest.mark.parametrize("path", files_of("src/recstage"), ids=lambda path: path.relative_to(root()).as_posix())
def test_only_one_room_imports_optuna_and_only_three_know_mlflow(path):
    text = path.read_text()
    names = {node.names[0].name.split(".")[0] for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import)}
    names |= {
        node.module.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0
    }
    room = path.relative_to(root() / "src" / "recstage").with_suffix("").parts[0]
    assert "optuna" not in names or room == "tuning"
    assert "mlflow" not in names or room in {"tracking", "registry", "pyfunc_model", "pyfunc_code"}
