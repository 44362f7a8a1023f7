"""What two nodes of one core gain over one core, and what a node that is killed costs.

Trials of a search, epochs of a two-tower and lists of many users are computed on nodes that are processes of this
machine; replicas are asked while versions are promoted. Figures of a machine that does other work say nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from experiments.benchmarks.environment import BenchmarkEnvironment, Running
from experiments.benchmarks.report import Measurement, at_least, at_most
from experiments.benchmarks.scale.ray_nodes import cluster_of
from experiments.benchmarks.scale.ray_training import training
from recstage import batch, bundle, cluster
from recstage.config import model_config_of, root
from recstage.data.interactions import Users
from recstage.models.base import Ranking, Recommender

DATA = """
source: {kind: synthetic, users: 4000, items: 2000, interactions: 300000, seed: 3}
weights: {view: 0.1, click: 0.3, like: 0.7, share: 1.0}
split: {method: leave-one-out, negatives: 20}
"""
TRIALS, FEWEST_TRIALS = 60, 8
ALPHA = {"low": 1.0, "high": 400.0, "log": True}
ALIKE = ["--model.params.factors=128", "--model.params.iterations=30"]
"""Every trial does the same work, whichever are tried on one core or on two: they differ in their alpha alone."""
EPOCHS, FEWEST_EPOCHS = 10, 4
USERS_AT_ONCE = 100
LIST = 100


def scale_ray(environment: BenchmarkEnvironment, versions: tuple[int, int], share: float) -> Iterator[Measurement]:
    """Every row that Ray has in the table of scale; `share` of the full length."""
    yield from trials(environment.folder, max(FEWEST_TRIALS, int(TRIALS * share)))
    yield from training(environment.folder, DATA, max(FEWEST_EPOCHS, int(EPOCHS * share)))
    yield from lists(environment, versions[0])
    yield from replicas(environment, versions, max(3.0, 20 * share))


# -- trials -----------------------------------------------------------------------------------------------------------


def trials(folder: Path, number: int) -> Iterator[Measurement]:
    """A search on one core, on two and on four nodes of one core, and on two of which one is killed after the third
    trial; beside them, what two halves of it at once, each on a core of its own, have as a multiple of one core."""
    alone, _ = _searched(folder / "one-core", number, "local")
    cores = sorted(os.sched_getaffinity(0))
    with ThreadPoolExecutor() as pool:
        halves = [
            pool.submit(_searched, folder / f"core-{core}", number // 2, "local", core=core) for core in cores[:2]
        ]
        ceiling = max(half.result()[0] for half in halves)
    together = {}
    for count in (2, 4):
        with cluster_of(count):
            together[count], _ = _searched(folder / f"{count}-nodes", number, "ray")
    with cluster_of(2) as nodes:
        _, finished = _searched(folder / "killed", number, "ray", after=3, then=nodes.kill)
    yield Measurement(
        f"{number} trials on two nodes of one core, as a multiple of one core",
        alone / together[2],
        at_least(1.7),
        "x",
        f"{alone:.1f} s and {together[2]:.1f} s, the start of the processes included",
    )
    note = f"{len(cores)} cores, {together[4]:.1f} s"
    yield Measurement("  on four nodes", alone / together[4], unit="x", note=note)
    yield Measurement(
        "  two searches of half as many, each on a core of its own, without Ray",
        alone / ceiling,
        unit="x",
        note=f"{ceiling:.1f} s",
    )
    yield Measurement("  a node killed after the third: trials that are missing", number - finished, at_most(0))


def _searched(
    home: Path,
    number: int,
    backend: str,
    *,
    core: int | None = None,
    after: int = 0,
    then: Callable[[], None] | None = None,
) -> tuple[float, int]:
    """Seconds of a search of ALS in a repository of its own, and its finished trials; `then` is called once, when the
    trial number `after` has ended. A local search has one core, the first where `core` is not given."""
    home.mkdir()
    shutil.copytree(root() / "conf", home / "conf")
    shutil.copy(root() / "MLproject", home)
    (home / "events.yaml").write_text(DATA)
    command = [sys.executable, "experiments/train.py", "--model", "als", "--data", str(home / "events.yaml")]
    search = {**dict.fromkeys(model_config_of("als").search), "alpha": ALPHA}
    command += ["--trials", str(number), "--backend", backend, *ALIKE, f"--model.search={json.dumps(search)}"]
    variables = {"RECSTAGE_HOME": str(home), "MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db"}
    process = subprocess.Popen(
        command,
        cwd=root(),
        env={**os.environ, **variables, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if backend == "local":
        os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0)) if core is None else core})
    assert process.stderr is not None
    assert process.stdout is not None
    told, finished = [], 0
    for line in process.stderr:
        told.append(line)
        finished += "tune als: trial " in line
        if then is not None and f"tune als: trial {after} of" in line:
            then()
            then = None
    out = process.stdout.read()
    if process.wait():
        raise RuntimeError("".join(told[-20:]))
    result = json.loads(out.splitlines()[-1])
    return float(result["seconds"]["search"]), finished


# -- lists ------------------------------------------------------------------------------------------------------------


def lists(environment: BenchmarkEnvironment, version: int) -> Iterator[Measurement]:
    """Lists of all users on two nodes, one of which is killed in the middle, beside those of one thread here: two would
    round the sums of a score in another order."""
    folder = environment.bundle_folder(version)
    model = bundle.load(folder).model
    users = model.known(np.array(environment.users, dtype=object))
    rank = partial(_rank, k=LIST)
    with threadpool_limits(1):
        expected = list(cluster.here(rank, model, _blocks(users)))
    with cluster_of(2) as nodes, cluster.session():
        found = []
        for block in batch.each_by("ray", folder)(rank, model, _blocks(users)):
            found.append(block)
            if len(found) == len(expected) // 2:
                nodes.kill()
    same = sum(
        np.array_equal(one.items, other.items) and np.array_equal(one.scores, other.scores)
        for one, other in zip(found, expected, strict=True)
    )
    yield Measurement(
        f"lists of {len(users)} users, a node killed half-way: blocks that differ", len(expected) - same, at_most(0)
    )


def _blocks(users: Users) -> Iterator[Users]:
    return (
        users.take(np.arange(at, min(len(users), at + USERS_AT_ONCE))) for at in range(0, len(users), USERS_AT_ONCE)
    )


def _rank(model: Recommender, users: Users, k: int) -> Ranking:
    return model.rank(users, k)


# -- replicas ---------------------------------------------------------------------------------------------------------


def replicas(environment: BenchmarkEnvironment, versions: tuple[int, int], seconds: float) -> Iterator[Measurement]:
    """Throughput of two replicas as a multiple of one's, and a promotion under load."""
    rates = []
    for number in (1, 2):
        environment.promote(versions[0])
        with environment.replicas(number, cache_size=0) as service:
            service.serves(versions[0])
            environment.ask(service, seconds=1.0)
            rates.append(environment.ask(service, seconds=seconds).a_second)
            if number == 1:
                continue
            with environment.asking(service, seconds=seconds, rate=rates[-1] / 4, follow_versions=True) as finish:
                time.sleep(seconds / 4)
                began = time.monotonic()
                environment.promote(versions[1])
                promoted = time.monotonic()
                service.until(lambda: all_serve(service, versions[1]))
                slowest = time.monotonic() - promoted
                report = finish()
    yield Measurement(
        "throughput of two replicas, as a multiple of one", rates[1] / rates[0], at_least(1.6), "x", f"{rates[1]:.0f}/s"
    )
    yield Measurement(
        "  promotion under load: both replicas follow",
        slowest,
        at_most(2.0),
        "s",
        f"after the registry has taken it, which took {promoted - began:.1f} s",
    )
    yield Measurement("  requests that failed meanwhile", report.failed, at_most(0), note=f"of {report.asked}")


ASKED_TO_KNOW = 12
"""Requests in a row that all answer with a version: of two replicas asked at random, one that does not would answer
none of them once in two thousand times."""


def all_serve(service: Running, version: int) -> bool:
    """Whether every replica answers with a version."""
    return all(service.version() == str(version) for _ in range(ASKED_TO_KNOW))
