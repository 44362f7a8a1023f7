"""Mutants: small faults put into the source, drawn by a seed. The faults are Cosmic Ray's, and statements left out."""

from __future__ import annotations

import ast
import difflib
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator, operator_names
from parso import tree
from parso.python.tree import Keyword

_SPOILT = re.compile(r"\wCosmicRayTestingException|CosmicRayTestingException\w")
"""What Cosmic Ray makes of `except a.B`: one name that means nothing."""

Position = tuple[int, int]
"""Line, from 1, and column, from 0."""


@dataclass(frozen=True)
class Mutant:
    """One fault: the whole mutated `source` of a file (`path`, below the repository), and the changed line."""

    group: str
    path: Path
    line: int
    fault: str
    before: str
    after: str
    source: str


@dataclass(frozen=True)
class _Site:
    """Where a family of faults fits: each of `choices` is one of them, an operator and which of its occurrences."""

    path: Path
    start: Position
    family: str
    choices: tuple[tuple[str, int], ...]


class LeaveOutStatement(Operator):
    """What a function does and does not name is left out: a call, `x += 1`, `self.x = 1`, `x[0] = 1`. (Without `x = 1`
    the next line would raise, which any test notices.)"""

    def mutation_positions(self, node: tree.NodeOrLeaf) -> Iterator[tuple[Position, Position]]:
        if not isinstance(node, tree.BaseNode) or node.type != "simple_stmt":
            return
        statement = node.children[0]
        if not isinstance(statement, tree.BaseNode) or tree.search_ancestor(node, "funcdef") is None:
            return
        called = statement.type == "atom_expr" and statement.children[-1].get_code().startswith("(")
        changed = statement.type == "expr_stmt" and (
            statement.children[0].type == "atom_expr" or statement.children[1].get_code().strip() not in ("=", ":")
        )
        if called or (changed and statement.children[1].type != "annassign"):
            yield statement.start_pos, statement.end_pos

    def mutate(self, node: tree.BaseNode, index: int) -> tree.BaseNode:
        old = node.children[0]
        node.children[0] = Keyword("pass", old.start_pos, old.get_first_leaf().prefix)
        return node

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return (Example("def f():\n    g(1)\n", "def f():\n    pass\n"),)


def operators() -> dict[str, Operator]:
    """Every operator that needs no arguments, by name."""
    found: dict[str, Operator] = {"LeaveOutStatement": LeaveOutStatement()}
    for name in operator_names():
        kind = get_operator(name)
        if not kind.arguments() and not name.endswith("/NoOp"):
            found[name.partition("/")[2]] = kind()
    return found


def draw(root: Path, targets: Mapping[str, Sequence[Path]], sample: int, seed: int) -> list[Mutant]:
    """`sample` mutants, from each of the `targets` (files by group, below `root`) as many, where there are so many.

    First a place and a family of faults is drawn, then one fault of the family: a sum, which can become eleven other
    things, is drawn no more often than a statement that can only be left out.
    """
    chance, known = random.Random(seed), operators()
    queues = {}
    for group, paths in targets.items():
        sites = [site for path in paths for site in _sites(root, path, known)]
        chance.shuffle(sites)
        queues[group] = iter(sites)
    drawn: list[Mutant] = []
    while queues and len(drawn) < sample:
        for group in list(queues):
            mutant = next((made for site in queues[group] if (made := _made(root, group, site, known, chance))), None)
            if mutant is None:
                del queues[group]
            elif len(drawn) < sample:
                drawn.append(mutant)
    return drawn


def _sites(root: Path, path: Path, known: Mapping[str, Operator]) -> list[_Site]:
    source = (root / path).read_text()
    nodes, quiet = list(ast_nodes(get_ast(source))), _quiet_places(source)
    choices: dict[tuple[Position, str], list[tuple[str, int]]] = defaultdict(list)
    for name, operator in known.items():
        positions = (start for node in nodes for start, _ in operator.mutation_positions(node))
        for occurrence, start in enumerate(positions):
            if not any(low <= start < high for low, high in quiet):
                choices[start, name.partition("_")[0]].append((name, occurrence))
    return [_Site(path, start, family, tuple(found)) for (start, family), found in sorted(choices.items())]


def _quiet_places(source: str) -> list[tuple[Position, Position]]:
    """Where types and decorators are written, and `strict=True` of a `zip`. Types are not run, so no fault in them
    could show; whether a value is frozen, or what a `zip` would refuse that never comes, is no behaviour."""
    found: list[ast.expr] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            found.append(node.returns)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found += node.decorator_list
        if isinstance(node, ast.keyword) and node.arg == "strict":
            found.append(node.value)
    return [((one.lineno, one.col_offset), (one.end_lineno or 0, one.end_col_offset or 0)) for one in found]


def _made(root: Path, group: str, site: _Site, known: Mapping[str, Operator], chance: random.Random) -> Mutant | None:
    """The mutant of a site; None where it does not compile, or does not differ."""
    name, occurrence = chance.choice(site.choices)
    source = (root / site.path).read_text()
    mutated = mutate_code(source, known[name], occurrence)
    if mutated is None or mutated == source or _SPOILT.search(mutated):
        return None
    try:
        compile(mutated, str(site.path), "exec")
    except (SyntaxError, ValueError):
        return None
    old, new = source.splitlines(), mutated.splitlines()
    changes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    _, first, last, begin, end = next(change for change in changes if change[0] != "equal")
    before, after = (" ".join(line.strip() for line in lines) for lines in (old[first:last], new[begin:end]))
    return Mutant(group, site.path, first + 1, name, before, after, mutated)
