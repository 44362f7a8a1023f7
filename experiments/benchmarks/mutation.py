"""Which faults no test notices: `python -m experiments.benchmarks.mutation [--seed 0] [--sample 40] [--only store]`.

Seeded mutants of the folders where a fault costs most, each against the tests nearest to its file, in a copy of the
repository: the working tree is not touched. The table goes to stderr, JSON to stdout. Needs the extra `mutation`.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from recstage.cli import plain
from recstage.config import root
from recstage.errors import ConfigError, RecstageError

if TYPE_CHECKING:
    from experiments.benchmarks.mutants import Mutant

TARGETS: Mapping[str, tuple[str, ...]] = {
    "promotion": ("src/recstage/promotion",),
    "registry": ("src/recstage/registry",),
    "metrics": ("src/recstage/evaluation/metrics.py", "src/recstage/evaluation/significance.py"),
    "store": ("serving/store",),
    "security": ("serving/security",),
}
"""Files and folders below the repository, by the name that `--only` takes."""
NOT_RUN = ("migrations",)
"""Folders below those that no test imports: Alembic runs them from where they lie."""
COPIED = ("src", "serving", "experiments", "tests", "conf", "docs", "notebooks")
SLACK_SECONDS = 20.0

Outcome = Literal["killed", "survived", "timed out", "no test nearby", "out of time"]


@dataclass(frozen=True)
class Result:
    """What became of one mutant, and the test that noticed it first."""

    group: str
    place: str
    fault: str
    before: str
    after: str
    outcome: Outcome
    noticed_by: str = ""
    seconds: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 whatever survives: a survivor may be no fault at all; 2 on wrong input."""
    parser = argparse.ArgumentParser("python -m experiments.benchmarks.mutation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="draws the mutants")
    parser.add_argument("--sample", type=int, default=40, help="how many are drawn, as many of each group")
    parser.add_argument("--only", nargs="+", choices=TARGETS, default=list(TARGETS), metavar="GROUP")
    parser.add_argument("--minutes", type=float, default=30.0, help="for all of it; what is left then is not tried")
    chosen = parser.parse_args(arguments)
    try:
        results = list(run(chosen.only, chosen.sample, chosen.seed, chosen.minutes))
    except RecstageError as error:
        _say(f"recstage: {error}")
        return error.exit_code
    _say(table(results))
    print(json.dumps([plain(asdict(one)) for one in results]))  # noqa: T201
    return 0


def run(groups: Sequence[str], sample: int, seed: int, minutes: float) -> Iterator[Result]:
    """Try the mutants one after the other. Raises `ConfigError` where the tests fail without any."""
    try:
        from experiments.benchmarks import mutants
    except ImportError as error:
        raise ConfigError(
            f"{error.name} is missing", rule="mutants are made by Cosmic Ray", fix="pip install -e '.[mutation]'"
        ) from error
    if sample < 1:
        raise ConfigError(f"--sample {sample}", rule="there is one mutant at least", fix="Give --sample 1 or more")
    end = time.monotonic() + 60 * minutes
    drawn = mutants.draw(root(), {group: files_of(group) for group in groups}, sample, seed)
    nearest = {one.path: nearest_tests(root(), one.path) for one in drawn}
    with tempfile.TemporaryDirectory(prefix="recstage-mutation-") as folder:
        copy = copied(root(), Path(folder) / "repository")
        seconds: dict[Path, float] = {}
        for mutant in drawn:
            tests = nearest[mutant.path]
            place = f"{mutant.path}:{mutant.line}"
            result = Result(mutant.group, place, mutant.fault, mutant.before, mutant.after, "no test nearby")
            if tests:
                try:
                    seconds |= baseline(copy, set(tests) - set(seconds), end - time.monotonic())
                    result = tried(copy, mutant, sorted(tests, key=seconds.__getitem__), seconds, result, end)
                except subprocess.TimeoutExpired:
                    result = replace(result, outcome="out of time")
            _say(f"{result.outcome:<14} {result.seconds:5.1f} s  {result.place}  {result.after}")
            yield result


def files_of(group: str) -> list[Path]:
    """The source files of a group, below the repository."""
    found: list[Path] = []
    for name in TARGETS[group]:
        place = root() / name
        found += sorted(place.rglob("*.py")) if place.is_dir() else [place]
    paths = [path.relative_to(root()) for path in found]
    return [path for path in paths if path.name != "__init__.py" and not set(NOT_RUN) & set(path.parts)]


# -- nearest tests -----------------------------------------------------------------------------------------------------


def nearest_tests(repository: Path, path: Path) -> list[Path]:
    """Test files that import the module of `path`; where none does, those whose folder's `conftest` or other support
    does, and else those of the folder that mirrors it."""
    module = ".".join(
        path.relative_to("src").with_suffix("").parts if path.parts[0] == "src" else path.with_suffix("").parts
    )
    tests = sorted((repository / "tests").rglob("*.py"))
    importing = [test for test in tests if module in _imported(test)]
    direct = [test for test in importing if test.name.startswith("test_")]
    folders = {test.parent for test in importing} or {repository / "tests" / part for part in path.parts[1:-1]}
    beside = [test for test in tests if test.name.startswith("test_") and test.parent in folders]
    return [test.relative_to(repository) for test in direct or beside]


def _imported(path: Path) -> set[str]:
    """Modules that a file imports, `from a import b` as both `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


# -- running them ------------------------------------------------------------------------------------------------------


def copied(repository: Path, place: Path) -> Path:
    """The code, tests and configuration of the repository below `place`."""
    for name in COPIED:
        if (repository / name).is_dir():
            shutil.copytree(repository / name, place / name, ignore=shutil.ignore_patterns("__pycache__", "*.db"))
    for file in repository.iterdir():
        if file.is_file() and not file.name.startswith(".") and file.suffix != ".db":
            shutil.copy2(file, place / file.name)
    return place


def baseline(copy: Path, tests: Iterable[Path], limit: float) -> dict[Path, float]:
    """Seconds of each test file without a mutant. Raises `ConfigError` where one fails, for it would notice everything,
    and `TimeoutExpired` where they take longer than `limit` seconds."""
    wanted = sorted(tests)
    if not wanted:
        return {}
    report = copy / "baseline.xml"
    done = _pytest(copy, wanted, limit, f"--junitxml={report}", "-o", "junit_family=xunit1")
    if done.returncode:
        raise ConfigError(
            f"pytest {' '.join(map(str, wanted))}",
            rule=f"tests must pass without a mutant, and did not: {_first_failure(done.stdout)}",
            fix="Mend them first",
        )
    seconds = dict.fromkeys(wanted, 0.0)
    for case in ET.parse(report).iter("testcase"):
        file = Path(case.get("file", ""))
        if file in seconds:
            seconds[file] += float(case.get("time", 0))
    return seconds


def tried(
    copy: Path, mutant: Mutant, tests: Sequence[Path], seconds: Mapping[Path, float], result: Result, end: float
) -> Result:
    """Run the tests with the mutant in its file's place, until one fails. Raises `TimeoutExpired` at `end`."""
    limit, left = 3 * sum(seconds[test] for test in tests) + SLACK_SECONDS, end - time.monotonic()
    original = (copy / mutant.path).read_text()
    began = time.monotonic()
    (copy / mutant.path).write_text(mutant.source)
    try:
        done = _pytest(copy, tests, min(limit, left), "-x")
    except subprocess.TimeoutExpired:
        if left < limit:  # this run's time is up, which says nothing of the mutant
            raise
        return replace(result, outcome="timed out", seconds=time.monotonic() - began)
    finally:
        (copy / mutant.path).write_text(original)
    outcome: Outcome = "killed" if done.returncode else "survived"
    return replace(result, outcome=outcome, noticed_by=_first_failure(done.stdout), seconds=time.monotonic() - began)


def _pytest(copy: Path, tests: Sequence[Path], limit: float, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "RECSTAGE_"))},
        "PYTHONPATH": f"{copy / 'src'}{os.pathsep}{copy}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *map(str, tests)]
    return subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, timeout=max(0.0, limit), check=False
    )


def _first_failure(output: str) -> str:
    lines = (line.split(" ", 1)[1] for line in output.splitlines() if line.startswith(("FAILED ", "ERROR ")))
    return next(lines, "").partition(" - ")[0]


# -- the table ---------------------------------------------------------------------------------------------------------


def table(results: Sequence[Result]) -> str:
    """Counts by group, and every mutant that was tried and not noticed."""
    lines = ["", f"{'group':<10} mutants  noticed  survived  not tried"]
    for group in dict.fromkeys(one.group for one in results):
        mine = [one.outcome for one in results if one.group == group]
        noticed = sum(outcome in ("killed", "timed out") for outcome in mine)
        survived = mine.count("survived")
        lines.append(f"{group:<10} {len(mine):7}  {noticed:7}  {survived:8}  {len(mine) - noticed - survived:9}")
    for one in results:
        if one.outcome not in ("killed", "timed out"):
            lines += ["", f"{one.outcome}: {one.place} ({one.fault})", f"  - {one.before}", f"  + {one.after}"]
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
