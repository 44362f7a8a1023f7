"""`make loop`: the circle of feedback once, on simulated users, in a folder of its own.

    python -m experiments.loop [--quick] [--seed N] [--folder data/loop] [--minutes 60]

The folder holds registry, runs, database and configuration of this circle; one that an earlier circle left is made
anew. Exit status 0: the better challenger was promoted on live evidence and stayed; 1: it was not. With `--minutes`
it runs by itself: triggers, evidence and the watcher decide (`experiments.loop.unattended`); 0: it never failed.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from recstage.config import root
from recstage.errors import ConfigError, RecstageError

MARK = "made-by-loop"
CLEARED = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the circle; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m experiments.loop", description="the circle of feedback, once")
    parser.add_argument("--quick", action="store_true", help="the short form: a small population")
    parser.add_argument("--seed", type=int, default=42, help="of the population")
    parser.add_argument("--minutes", type=float, default=None, help="run so long without a hand on it")
    parser.add_argument("--folder", type=Path, default=None, help="of registry, runs and database [data/loop]")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    warnings.filterwarnings("ignore", module="mlflow")
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    try:
        if chosen.minutes is not None and not chosen.minutes > 0:
            raise ConfigError(f"--minutes {chosen.minutes:g}", rule="it must be above 0", fix="Give 60, say")
        return _run(chosen.folder or root() / "data" / "loop", chosen.seed, quick=chosen.quick, minutes=chosen.minutes)
    except RecstageError as error:
        print(f"recstage: {error}", file=sys.stderr)
        return error.exit_code


def _run(folder: Path, seed: int, *, quick: bool, minutes: float | None) -> int:
    home = made(folder.resolve())
    from experiments.benchmarks.environment import start_service
    from experiments.loop.circle import QUICK, Circle, Size
    from experiments.loop.unattended import Unattended
    from recstage import tracking

    began = time.monotonic()
    tracking.connect()
    variables = {"MLFLOW_TRACKING_URI": tracking.store_uri(), "MLFLOW_DISABLE_TELEMETRY": "true"}
    settings = {
        "database_url": os.environ["RECSTAGE_SERVING_DATABASE_URL"],
        "poll_seconds": 0.5,
        "log_level": "warning",
    }
    size = QUICK if quick else Size()
    with start_service(home, "service", variables, **settings) as running:
        if minutes is not None:
            account = Unattended(running, size, seed, _told).run_for(minutes)
            return 1 if account.failures else 0
        result = Circle(running, size, seed, _told).run()
    print(f"All of it took {time.monotonic() - began:.0f} s. The report is the run {result.run_id} ('feedback loop'):")
    print(f"   RECSTAGE_HOME={home} recstage ui   (then http://127.0.0.1:5000)")
    return 0 if result.promoted and not result.rolled_back else 1


def _told(line: str) -> None:
    print(line, flush=True)


def made(home: Path) -> Path:
    """A fresh folder for one circle, with this repository's configuration; the environment points to it from now on.

    Raises `ConfigError` on a folder that holds something else.
    """
    if home.exists() and any(home.iterdir()) and not (home / MARK).is_file():
        raise ConfigError(
            f"folder {home}", rule="it holds files that no circle left, and would be emptied", fix="Name another folder"
        )
    shutil.rmtree(home, ignore_errors=True)
    (home / "data").mkdir(parents=True)
    (home / MARK).touch()
    shutil.copytree(root() / "conf", home / "conf")
    shutil.copy(root() / "MLproject", home)
    for name in CLEARED:
        os.environ.pop(name, None)
    os.environ["RECSTAGE_HOME"] = str(home)
    os.environ["RECSTAGE_SERVING_DATABASE_URL"] = f"sqlite:///{home}/data/service.db"
    root.cache_clear()
    return home


if __name__ == "__main__":
    sys.exit(main())
