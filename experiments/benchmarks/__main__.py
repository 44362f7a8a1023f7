"""Benchmarks of the service under load and under faults, on the loopback of this machine.

A table with the goals goes to stderr, one JSON list to stdout. Everything that is started is ended, and all files are
in a temporary folder. Exit status 0: every goal was reached; 1: one was missed; 2: wrong input.
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
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from experiments.benchmarks import (
    durability,
    fault_injection,
    ingest,
    performance,
)
from experiments.benchmarks.environment import BenchmarkEnvironment
from experiments.benchmarks.faults import table
from experiments.benchmarks.faults.fault import Trials
from experiments.benchmarks.lists import endpoints, rules, storefront, two_versions
from experiments.benchmarks.report import Measurement
from experiments.benchmarks.scale import ray_figures, wrk
from experiments.benchmarks.scale.data import data_figures
from experiments.benchmarks.scale.index import index_figures
from experiments.benchmarks.scale.workers import worker_memory, worker_throughput
from experiments.benchmarks.simulations.fleet import fleet_figures
from experiments.benchmarks.simulations.loop import loop_simulations
from experiments.benchmarks.simulations.off_policy import off_policy
from experiments.loop import snapshot
from recstage import renamed
from recstage.errors import ConfigError, RecstageError, valid_names

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
"""Models with a higher latency, trained briefly where the training makes no difference to it."""


@dataclass(frozen=True)
class Run:
    """What the benchmarks of one command share; models are fitted by the first benchmark that needs them."""

    folder: Path
    data: str
    share: float
    """Of the full length of each benchmark."""
    kills: int | None = None
    seconds: float | None = None
    """Of each load of `ingest`."""
    seed: int = 0
    postgres: str = ""
    """Of `snapshot`: URL of an empty database; empty: that of the tests."""
    events: int = 10_000_000
    """Of `snapshot`."""
    faults: Sequence[int] = ()
    """Numbers of the rows of `faults`; none: all."""

    @cached_property
    def environment(self) -> BenchmarkEnvironment:
        return BenchmarkEnvironment(self.folder, self.data)

    @cached_property
    def versions(self) -> tuple[int, int]:
        """Two registered versions of ALS."""
        _log(f"fitting models to {self.data} ...")
        return self.environment.register("als"), self.environment.register("als", iterations=5)


@dataclass(frozen=True)
class Benchmark:
    """What it measures, with which goals, and how it is run; `models`: whether it needs registered models; `package`:
    an extra's, without which it runs only where it is named, and says what is missing."""

    summary: str
    measure: Callable[[Run], Iterator[Measurement]]
    models: bool = True
    package: str = ""


def _throughput(run: Run) -> Iterator[Measurement]:
    return performance.throughput(run.environment, run.versions[0], 20 * run.share)


def _start(run: Run) -> Iterator[Measurement]:
    return performance.start(run.environment, run.versions[0])


def _promotions(run: Run) -> Iterator[Measurement]:
    moves, seconds = max(4, int(20 * run.share)), max(12.0, 60 * run.share)
    return fault_injection.promotions(run.environment, run.versions, moves, seconds)


def _swaps(run: Run) -> Iterator[Measurement]:
    return fault_injection.swaps(run.environment, run.versions, max(12, int(100 * run.share)))


def _outages(run: Run) -> Iterator[Measurement]:
    return fault_injection.outages(run.environment, run.versions[0], 10 * run.share)


def _overload(run: Run) -> Iterator[Measurement]:
    return fault_injection.overload(run.environment, run.versions[0], 30 * run.share)


def _durability(run: Run) -> Iterator[Measurement]:
    kills = run.kills or max(3, int(50 * run.share))
    return durability.durability(run.folder, kills, seed=run.seed)


def _ingest(run: Run) -> Iterator[Measurement]:
    return ingest.ingest(run.folder, run.seconds or 10 * run.share)


def _endpoints(run: Run) -> Iterator[Measurement]:
    return endpoints.endpoints(run.environment, run.versions[0], max(3.0, 20 * run.share))


def _rules(run: Run) -> Iterator[Measurement]:
    return rules.rules(run.environment, run.versions[0], 20 * run.share)


def _two_versions(run: Run) -> Iterator[Measurement]:
    return two_versions.two_versions(run.environment, run.versions, max(5.0, 60 * run.share))


def _snapshot(run: Run) -> Iterator[Measurement]:
    return snapshot.snapshots(run.postgres, max(10_000, int(run.events * run.share)))


def _loop(run: Run) -> Iterator[Measurement]:
    return loop_simulations(max(5, int(100 * run.share)), run.seed)


def _off_policy(run: Run) -> Iterator[Measurement]:
    return off_policy(max(5, int(100 * run.share)), run.seed)


def _storefront(run: Run) -> Iterator[Measurement]:
    return storefront.storefront(run.environment, run.versions[0], max(3, int(20 * run.share)))


def _scale_index(run: Run) -> Iterator[Measurement]:
    sizes = (10_000, 100_000, 1_000_000)
    return index_figures([size for size in sizes if size <= 1_000_000 * run.share], run.seed)


def _scale_data(run: Run) -> Iterator[Measurement]:
    return data_figures(run.folder, [int(millions * 1_000_000 * run.share) for millions in (1, 3, 10, 30, 100)])


def _scale_fleet(run: Run) -> Iterator[Measurement]:
    return fleet_figures(run.share, run.seed)


def _scale_workers(run: Run) -> Iterator[Measurement]:
    yield from worker_memory(run.environment, run.versions[0])
    if not wrk.installed():
        _log("two workers against one: left out, for it needs `wrk` (apt install wrk)")
        return
    yield from worker_throughput(run.environment, run.versions[0], max(10.0, 60 * run.share))


def _slow_models(run: Run) -> Iterator[Measurement]:
    return performance.slow_models(run.environment, SLOW, 10 * run.share)


def _scale_ray(run: Run) -> Iterator[Measurement]:
    return ray_figures.scale_ray(run.environment, run.versions, run.share)


def _faults(run: Run) -> Iterator[Measurement]:
    trials = Trials(run.environment, run.versions, brief=run.share < 1, seed=run.seed)
    return table.measure(trials, run.faults)


BENCHMARKS: Mapping[str, Benchmark] = {
    "throughput": Benchmark(
        "requests/s >= 3 x `mlflow models serve` (5 x with the cache), .6 of a bare route, p99 <= 5 ms", _throughput
    ),
    "start": Benchmark("start to ready <= 3 s with the bundle on disk, memory <= 350 MB", _start),
    "promotions": Benchmark("promotions and rollbacks under load: no failure, followed within 2 s", _promotions),
    "swaps": Benchmark("many model swaps: memory grows <= 10 %, no descriptor is lost", _swaps),
    "outages": Benchmark("reads while the database or the registry is unavailable: no failure", _outages),
    "overload": Benchmark("3 x saturation: only 200, 429 and 503, normal again within 5 s", _overload),
    "durability": Benchmark("kill -9 during writes: no acknowledged event lost, none twice", _durability, models=False),
    "ingest": Benchmark("events stored over HTTP, >= 5000 a second in batches of 500", _ingest, models=False),
    "endpoints": Benchmark("each read endpoint, ALS, cache off: p99 <= 10 ms at 60 % of its saturation", _endpoints),
    "faults": Benchmark("28 faults, each with what was tried; no acknowledged event lost", _faults),
    "loop": Benchmark(
        "100 simulated experiments: better promoted >= .95, equal <= .05, broken out in a minute", _loop, models=False
    ),
    "off-policy": Benchmark(
        "estimates of a candidate from 100 simulated logs: truth inside the interval >= .93", _off_policy, models=False
    ),
    "two-versions": Benchmark("Production and Staging at once: >= .9 of the throughput of one version", _two_versions),
    "snapshot": Benchmark(
        "a snapshot of 10 million events (--events) from PostgreSQL: <= 2 GiB, no writer blocked",
        _snapshot,
        models=False,
    ),
    "scale-ray": Benchmark(
        "two Ray nodes of one core: trials >= 1.7 x one, epochs >= 1.5 x, a killed node costs time, replicas >= 1.6 x",
        _scale_ray,
        package="ray",
    ),
    "rules": Benchmark("business rules leave >= 85 % of the throughput without", _rules),
    "scale-data": Benchmark(
        "100 million events prepared within 8 GiB, >= 400,000 a second; popularity and ALS on them within 12 GiB",
        _scale_data,
        models=False,
    ),
    "scale-index": Benchmark(
        "a million items, 64 factors: recall@100 of the index >= .97, p99 of a list <= 10 ms",
        _scale_index,
        models=False,
    ),
    "scale-fleet": Benchmark(
        "a simulated fleet: waits as queueing theory knows them, p99 <= 50 ms while a version is promoted",
        _scale_fleet,
        models=False,
    ),
    "scale-workers": Benchmark(
        "a second worker has at most 60 MB of its own, and two answer >= 1.7 x the requests of one", _scale_workers
    ),
    "storefront": Benchmark("the first list of the storefront is painted within 300 ms, in Chromium", _storefront),
    "slow-models": Benchmark("latency of ncf, two-tower, lambdarank, hybrid: p50/p95/p99 <= 10/25/50 ms", _slow_models),
}
OLD_NAMES: Mapping[str, tuple[str, ...]] = {"away": ("outages",), "writes": ("durability", "ingest")}
"""Names of version 0.1, taken for one version."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen benchmarks; returns the exit status."""
    try:
        chosen = _parser().parse_args(_new_command(list(sys.argv[1:] if arguments is None else arguments)))
        names = checked(chosen.names or chosen.only or installed())
        for option, value in (
            ("--kills", chosen.kills),
            ("--seconds", chosen.seconds),
            ("--events", chosen.events),
        ):
            if value is not None and value <= 0:
                raise ConfigError(f"{option} {value:g}", rule="it must be above 0", fix="Leave it out for the default")
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", module="mlflow")
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        with tempfile.TemporaryDirectory(prefix="recstage-benchmarks-") as folder:
            share = 0.1 if chosen.quick else 1.0
            given = {
                name: getattr(chosen, name) for name in ("kills", "seconds", "seed", "postgres", "events", "faults")
            }
            run = Run(Path(folder), chosen.data, share, **given)
            with _stdout_on_stderr():
                measurements = list(run_benchmarks(run, names))
    except RecstageError as error:
        _log(f"recstage: {error}")
        return error.exit_code
    print(json.dumps([measurement.as_json() for measurement in measurements]))  # noqa: T201
    return 0 if all(measurement.reached for measurement in measurements) else 1


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Inside, what this process, its libraries and what they start write to stdout goes to stderr: stdout is the
    figures' alone."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def installed() -> list[str]:
    """Names of the benchmarks whose packages are there."""
    return [name for name, one in BENCHMARKS.items() if not one.package or find_spec(one.package)]


def checked(names: Sequence[str]) -> list[str]:
    """The names of benchmarks, old ones by their new names. Raises `ConfigError` on an unknown name."""
    found: list[str] = []
    for name in names:
        if name in OLD_NAMES:
            renamed.warn(f"--only {name}", f"--only {' '.join(OLD_NAMES[name])}")
        elif name not in BENCHMARKS:
            fix = valid_names(name, BENCHMARKS)
            raise ConfigError(f"benchmark '{name}'", rule="there is no such benchmark", fix=fix)
        found += OLD_NAMES.get(name, (name,))
    return list(dict.fromkeys(found))


def run_benchmarks(run: Run, names: Sequence[str]) -> Iterator[Measurement]:
    """The measurements of these benchmarks, one after the other, each also as a line on stderr."""
    for name in names:
        _log(f"\n{name}: {BENCHMARKS[name].summary}")
        if BENCHMARKS[name].models:
            run.environment.promote(run.versions[0])  # whatever the benchmark before left in Production
        for measurement in BENCHMARKS[name].measure(run):
            _log(str(measurement))
            yield measurement


# -- the command line -------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Reports a mistake as one line, as every command does."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message, rule=f"{self.prog} takes no such arguments", fix=f"See {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, BENCHMARKS))
    rows = "\n".join(f"  {name:<{width}}  {one.summary}" for name, one in BENCHMARKS.items())
    parser = _Parser(
        "python -m experiments.benchmarks",
        description=__doc__,
        epilog=f"benchmarks and their goals:\n{rows}\n\nexamples:\n"
        "  python -m experiments.benchmarks                                    all of them\n"
        "  python -m experiments.benchmarks --quick --only throughput start    do these run? a tenth of the time\n"
        "  python -m experiments.benchmarks faults                             the table of faults, some 20 minutes\n"
        "  python -m experiments.benchmarks --only durability --kills 50       needs no models\n\n"
        "see also: python -m experiments.benchmarks.mutation --help, seeded faults that no test notices\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks; default: all")
    parser.add_argument("--data", default="ml-1m-ncf", help="data set by name or path; default: ml-1m-ncf")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="the same")
    parser.add_argument("--faults", nargs="+", type=int, default=[], metavar="N", help="of faults: rows, by number")
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, to see whether they run")
    parser.add_argument("--kills", type=int, metavar="N", help="of durability; default: 50")
    parser.add_argument("--seed", type=int, default=0, help="when durability kills; first of loop and off-policy")
    parser.add_argument("--postgres", default="", metavar="URL", help="of snapshot: an empty database")
    parser.add_argument("--events", type=int, default=10_000_000, metavar="N", help="of snapshot; default: 10 million")
    parser.add_argument("--seconds", type=float, metavar="S", help="of each load of ingest; default: 10")
    return parser


def _new_command(arguments: list[str]) -> list[str]:
    """The arguments of version 0.1's `serving.store.drills` (`kill --times N`, `ingest`) as those of this command."""
    if arguments[:1] == ["kill"]:
        renamed.warn("kill --times", "--only durability --kills")
        return ["--only", "durability", *("--kills" if word == "--times" else word for word in arguments[1:])]
    if arguments[:1] == ["ingest"]:
        renamed.warn("ingest", "--only ingest")
        return ["--only", "ingest", *arguments[1:]]
    return arguments


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
