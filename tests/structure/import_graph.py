"""The modules of the repository, what each imports, and the layers of its packages: read from the source, not run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from recstage.config import root

LAYERS = {
    "recstage": [
        ["__main__"],
        ["commands", "interactive", "mlflow_plugin"],
        ["steps"],
        ["promotion"],
        ["registry", "cli"],
        ["tracking"],
        ["pyfunc", "model_card", "batch"],
        ["bundle", "plots", "mlproject"],
        ["tuning", "evaluation", "experiments"],
        ["rerank"],
        ["classifier"],
        ["models"],
        ["data"],
        ["config", "markdown", "progress"],
        ["renamed", "client", "cluster", "verified_files", "election"],
        ["errors"],
    ],
    "serving": [
        ["ray"],
        ["__main__", "database", "drills", "watcher"],
        ["workers"],
        ["app"],
        ["pages"],
        ["api"],
        ["patterns"],
        ["service"],
        ["health"],
        ["trends", "lists", "audiences", "streams"],
        ["experiments"],
        ["recommend", "operations"],
        ["catalogue", "classifier"],
        ["store", "models", "security"],
        ["monitoring"],
        ["interfaces", "settings"],
        ["rules"],
        ["errors", "redis_connection", "secret_strength"],
    ],
}
"""Top layer first: a module imports from its own part of the package and from layers below."""
SOURCES = {"recstage": "src/recstage", "serving": "serving", "experiments": "experiments"}


def _modules() -> dict[str, Path]:
    found = {}
    for package, folder in SOURCES.items():
        for path in sorted((root() / folder).rglob("*.py")):
            inside = path.relative_to(root() / folder).with_suffix("").parts
            found[".".join((package, *inside)).removesuffix(".__init__")] = path
    return found


MODULES = _modules()
"""Every module by its dotted name."""


@cache
def imports_of(module: str) -> frozenset[str]:
    """Modules of ours that a module imports anywhere, under TYPE_CHECKING and inside functions included."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            rest = len(inside) < len(node.names)
            found |= inside | ({node.module} if rest and node.module in MODULES else set())
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & MODULES.keys()
    return frozenset(found - {module})


def part_of(module: str) -> str:
    """The part of its package that a module belongs to: "serving.api.routes.items" is of "api"."""
    return [*module.split("."), "__init__"][1]


def layer_of(module: str) -> int:
    """The height of a module's part, counted from the top. Raises `AssertionError` where it has none."""
    for height, layer in enumerate(LAYERS[module.split(".")[0]]):
        if part_of(module) in layer:
            return height
    raise AssertionError(
        f"{module} is in no layer: give a new part of a package its layer in tests/structure/import_graph.py, then "
        "`make architecture`"
    )


def of_packages(*packages: str) -> list[str]:
    """Modules inside the packages, the packages themselves left out."""
    return [name for name in MODULES if name.split(".")[0] in packages and "." in name]


def circles() -> Iterator[list[str]]:
    """Circles of imports, each once (depth-first search)."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> Iterator[list[str]]:
        if module in path:
            yield path[path.index(module) :]
            return
        if module in done:
            return
        for other in sorted(imports_of(module)):
            yield from visit(other, [*path, module])
        done.add(module)

    for module in MODULES:
        yield from visit(module, [])
