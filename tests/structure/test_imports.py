"""Imports point down only and never in a circle; folders stay small (docs/architecture.md)."""

import ast

import pytest

from recstage.config import root
from recstage.mlproject import STEPS
from tests.structure.import_graph import MODULES, circles, imports_of, layer_of, of_packages, part_of

SERVING_MAY_USE = {
    "errors",
    "renamed",
    "config",
    "data",
    "models",
    "classifier",
    "rerank",
    "bundle",
    "batch",
    "cluster",
    "pyfunc",
    "tracking",
    "registry",
    "experiments",
    "election",
}
ONLY_IN = {
    "optuna": {"tuning"},
    "ray": {"cluster"},
    "mlflow": {"tracking", "registry", "pyfunc", "promotion", "mlflow_plugin"},
}
MOST_MODULES = 12
FOLDERS = sorted({path.parent for path in MODULES.values()})
ENTRY_POINTS = {*STEPS, "train"}


@pytest.mark.parametrize("module", of_packages("recstage", "serving"))
def test_imports_point_down(module):
    package = module.split(".")[0]
    for other in imports_of(module):
        if other.split(".")[0] != package or part_of(other) == part_of(module) or other == package:
            continue
        rule = f"{module} imports {other}: imports go from a layer to one below it; move the code, or pass the value in"
        assert layer_of(other) > layer_of(module), rule


@pytest.mark.parametrize("module", of_packages("serving"))
def test_the_service_uses_only_what_serving_needs(module):
    used = {part_of(other) for other in imports_of(module) if other.startswith("recstage.")}
    assert used <= SERVING_MAY_USE, f"{module} imports {used - SERVING_MAY_USE}: the service needs no part that trains"
    assert not any(other.startswith("experiments") for other in imports_of(module)), f"{module} imports experiments"


@pytest.mark.parametrize("module", of_packages("recstage"))
def test_the_library_knows_neither_the_service_nor_the_experiments(module):
    others = {other for other in imports_of(module) if not other.startswith("recstage")}
    assert not others, f"{module} imports {others}: recstage stands alone"


@pytest.mark.parametrize("module", of_packages("recstage"))
def test_only_their_own_packages_import_optuna_and_mlflow(module):
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        for name in names:
            allowed = ONLY_IN.get(name.split(".")[0])
            assert allowed is None or part_of(module) in allowed, f"{module} imports {name}: only {allowed} may"


def test_no_modules_import_each_other_in_a_circle():
    found = [" -> ".join(circle) for circle in circles()]
    assert not found, f"{found}: move what both need into a module below them"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(root()).as_posix())
def test_a_folder_is_small_enough_to_read(folder):
    names = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")}
    if folder == root() / "experiments":
        names -= ENTRY_POINTS
    rule = f"{folder.name} holds {len(names)} modules, the most is {MOST_MODULES}: make a package of some of them"
    assert len(names) <= MOST_MODULES, rule
