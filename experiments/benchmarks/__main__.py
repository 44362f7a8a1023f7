"""All benchmarks of the service, or some by name; the table goes to stderr, JSON to stdout.

python -m experiments.benchmarks [--data ml-1m-ncf] [--only throughput start ...] [--quick]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from experiments.benchmarks import fault_injection, performance
from experiments.benchmarks.environment import BenchmarkEnvironment
from experiments.benchmarks.report import Measurement, at_least, at_most
from recstage.errors import RecstageError

ONE_EPOCH = {"epochs": 1}
BRIEF_TOWER = {"model": "two-tower", "params": ONE_EPOCH}
SLOW: Mapping[str, Mapping[str, object]] = {
    "ncf": ONE_EPOCH,
    "two-tower": ONE_EPOCH,
    "lambdarank": {},
    "hybrid": {
        "components": ["content", "graph", "popularity", "als", "transitions", BRIEF_TOWER],
        "hot": ["two-tower", "transitions", "als"],
    },
}
"""Models that take longer to answer, trained briefly where that makes no difference to how long."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 where every goal was reached, 1 where one was not, 2 on wrong input."""
    parser = argparse.ArgumentParser("python -m experiments.benchmarks", description=__doc__)
    parser.add_argument("--data", default="ml-1m-ncf", help="a data set by name or path")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="DRILL", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="a fraction of the time, to see that it runs")
    chosen = parser.parse_args(arguments)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="mlflow")
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    try:
        with tempfile.TemporaryDirectory(prefix="recstage-drills-") as folder:
            rows = list(_drilled(Path(folder), chosen.data, chosen.only, quick=chosen.quick))
    except RecstageError as error:
        _say(f"recstage: {error}")
        return error.exit_code
    print(json.dumps([_plain(row) for row in rows]))  # noqa: T201
    return 0 if all(row.reached for row in rows) else 1


def _drilled(folder: Path, data: str, names: Sequence[str], *, quick: bool) -> Iterator[Measurement]:
    share = 0.1 if quick else 1.0
    _say(f"fitting models to {data} ...")
    environment = BenchmarkEnvironment(folder, data)
    als, other = environment.register("als"), environment.register("als", iterations=5)
    database: dict[str, Callable[[], Iterator[Measurement]]] = {
        "throughput": lambda: performance.throughput(environment, als, 20 * share),
        "start": lambda: performance.start(environment, als),
        "promotions": lambda: fault_injection.promotions(
            environment, (als, other), max(4, int(20 * share)), max(12.0, 60 * share)
        ),
        "swaps": lambda: fault_injection.swaps(environment, (als, other), max(12, int(100 * share))),
        "away": lambda: fault_injection.away(environment, als, 10 * share),
        "overload": lambda: fault_injection.overload(environment, als, 30 * share),
        "writes": lambda: _writes(folder, max(3, int(50 * share)), 10 * share),
        "slow-models": lambda: performance.slow_models(environment, SLOW, 10 * share),
    }
    for name in names:
        _say(f"\n{name}")
        environment.promote(als)  # whatever the drill before left there
        for row in database[name]():
            _say(str(row))
            yield row


def _writes(folder: Path, times: int, seconds: float) -> Iterator[Measurement]:
    """The database's own drills: kill -9 during writes, and events a second."""
    from experiments.benchmarks import database
    from serving.store.admin import migrate
    from serving.store.db.connection import parse_url

    path = folder / "killed.db"
    migrate.upgrade(parse_url(f"sqlite:///{path}"))
    killed = database.kill_during_writes(path, times)
    yield Measurement(f"{killed.kills} kills -9, acknowledged events missing", killed.missing, at_most(0))
    yield Measurement("  databases that fail the integrity check", killed.unsound, at_most(0))
    yield Measurement("  events twice after a retry", killed.twice, at_most(0))
    with database.service(folder) as running:
        found = database.ingest(running, batch=500, connections=4, seconds=seconds)
    yield Measurement("events a second in batches, each on disk", found.events_a_second, at_least(5000.0))


NAMES = ("throughput", "start", "promotions", "swaps", "away", "overload", "writes", "slow-models")


def _plain(row: Measurement) -> dict[str, object]:
    goal = None if row.goal is None else row.goal.words
    return {"name": row.name.strip(), "value": row.value, "unit": row.unit, "goal": goal, "reached": row.reached}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
