"""Ours against the libraries of the field: both in the same run, on the same rows, in turn, medians compared.

A ratio is ours divided by theirs where it is to be small (`als-fit`), and theirs divided by ours where it says how many
times faster we are (`neumf-epoch`); each title says which. RecBole needs an older NumPy, so it lives in an environment
of its own below `data/peers`, made on first use.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import pandas as pd
from filelock import FileLock

from recstage import tracking
from recstage.config import DataConfig, check, model_config_of, root
from recstage.data import dataset
from recstage.data.interactions import Interactions
from recstage.errors import ConfigError, StoreError, valid_names
from recstage.models import build

ROUNDS = 5
EPOCHS = 3
FACTORS, BATCH, NEGATIVES = 32, 4096, 4
"""NeuMF as it is compared with RecBole."""


@dataclass(frozen=True)
class Contest:
    """Seconds of ours and theirs (medians), and their ratio as `title` says."""

    name: str
    title: str
    ours: float
    theirs: float
    ratio: float


def als_fit(data: str, seed: int) -> Contest:
    """Our ALS against `implicit` called bare with the same parameters on the same matrix, in turn."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    train = _rows(data)
    config = model_config_of("als")
    params = build(config).params
    matrix = train.matrix.copy()
    matrix.data *= params.alpha
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(_seconds(lambda: build(config).fit(train, seed=seed)))
        bare = AlternatingLeastSquares(
            factors=params.factors,
            regularization=params.regularization,
            iterations=params.iterations,
            random_state=seed,
        )
        with threadpool_limits(1, "blas"):
            theirs.append(_seconds(partial(bare.fit, matrix, show_progress=False)))
    return _contest("als-fit", "ALS fit, ours / bare implicit", ours, theirs, faster=False)


def neumf_epoch(data: str, seed: int) -> Contest:
    """An epoch of our NeuMF against RecBole's: 32 factors, batches of 4096 rows, four negatives a positive."""
    train = _rows(data)
    python = _environment("recbole")
    params = {"variant": "neumf", "factors": FACTORS, "layers": (2 * FACTORS, FACTORS, FACTORS // 2)}
    model = build(
        model_config_of("ncf"),
        **params,
        batch_size=BATCH,
        n_negatives=NEGATIVES,
        negatives="sampled",
        epochs=EPOCHS,
        pretrain=0,
    )
    marks = [time.perf_counter()]
    model.fit(train, seed=seed, report=lambda step, metrics: marks.append(time.perf_counter()))
    ours = [after - before for before, after in pairwise(marks)]
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.csv"
        pd.DataFrame({"user": train.user_index, "item": train.item_index}).to_csv(rows, index=False)
        script = root() / "experiments" / "peers" / "recbole_neumf.py"
        numbers = map(str, (FACTORS, BATCH, NEGATIVES, EPOCHS))
        done = subprocess.run([python, script, rows, *numbers], capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise StoreError(
            "RecBole", rule=f"its program failed ({done.stderr.strip()[-300:]})", fix="See data/peers/recbole"
        )
    theirs = json.loads(done.stdout.splitlines()[-1])["epoch_seconds"]
    return _contest("neumf-epoch", "NeuMF epoch, RecBole / ours", ours, theirs, faster=True)


def run_overhead(data: str, seed: int) -> Contest:
    """A whole `mlflow run . -e als` against the sum of its data, fit and evaluation: the rest is overhead."""
    command = [
        str(Path(sys.executable).with_name("mlflow")), "run", str(root()), "--env-manager", "local",
        "-e", "als", "-P", f"data={data}", "-P", f"seed={seed}",
    ]  # fmt: skip
    walls, parts = [], []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=tracking.outside_environment(), cwd=root())
        walls.append(time.perf_counter() - started)
        if done.returncode:
            raise StoreError(
                "mlflow run . -e als", rule=f"it failed ({done.stderr.strip()[-300:]})", fix="Run it by hand"
            )
        seconds = json.loads(done.stdout.splitlines()[-1])["seconds"]
        parts.append(sum(seconds[name] for name in ("data", "fit", "evaluation")))
    overhead = statistics.median(wall - part for wall, part in zip(walls, parts, strict=True))
    title = f"whole `mlflow run . -e als` / data, fit and evaluation in it (overhead {overhead:.1f} s)"
    return _contest("run-overhead", title, walls, parts, faster=False)


NAMES: dict[str, Callable[[str, int], Contest]] = {
    "als-fit": als_fit,
    "neumf-epoch": neumf_epoch,
    "run-overhead": run_overhead,
}


def chosen(names: Sequence[str]) -> list[Callable[[str, int], Contest]]:
    """The contests of these names. Raises `ConfigError` on an unknown one."""
    for name in names:
        if name not in NAMES:
            raise ConfigError(f"contest '{name}'", rule="there is no such contest", fix=valid_names(name, NAMES))
    return [NAMES[name] for name in names]


def _rows(data: str) -> Interactions:
    return dataset.load(check(DataConfig, dataset.config_of(data), data)).split.train_and_validation


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _contest(name: str, title: str, ours: Sequence[float], theirs: Sequence[float], *, faster: bool) -> Contest:
    mine, yours = statistics.median(ours), statistics.median(theirs)
    return Contest(name, title, mine, yours, yours / mine if faster else mine / yours)


def _environment(name: str) -> Path:
    """The Python of a peer's own environment, made from `experiments/peers/NAME.txt` on first use."""
    folder = root() / "data" / "peers" / name
    python = folder / "bin" / "python"
    with FileLock(root() / "data" / f"peers-{name}.lock"):
        if not (folder / "ready").is_file():
            venv.create(folder, with_pip=True, clear=True)
            wanted = root() / "experiments" / "peers" / f"{name}.txt"
            done = subprocess.run([python, "-m", "pip", "install", "-q", "-r", wanted], capture_output=True, text=True)
            if done.returncode:
                raise StoreError(
                    f"the environment of {name}", rule=done.stderr.strip()[-300:], fix="Check the package index"
                )
            (folder / "ready").touch()
    return python
