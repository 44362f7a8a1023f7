"""Fault 28: a retraining that is killed at each of its steps, by SIGKILL and from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from experiments.benchmarks.faults.fault import Outcome, Trials

CHALLENGERS = ("knn", "als")
ENTRY = "retrain.entry."
STEPS = ("fingerprint", "trained.knn", "trained.als", "version", "verdict.knn", "verdict.als", "staged")
"""What is in the store when the process is killed: entries of its journal, a registered version, Staging."""
SMALL = ("--retraining.data", "synthetic", "--retraining.least_test_users", "5", "--retraining.prune", "false")
PATIENCE_SECONDS = 180.0
REPOSITORY = Path(__file__).resolve().parents[3]
"""Not `root()`, which is the folder that a test retrains in."""


def killed(trials: Trials) -> Outcome:
    """28: at each step in turn, each followed by one that is not killed."""
    home = _home(trials.folder / "retraining")
    _run(home, "train.py", "--model", "popularity", "--data", "synthetic", "--register", "true")
    _run(home, "promote.py", "--version", "1", "--force", "true", "--reason", "the first")
    steps, problems = STEPS[:: trials.of(1, 3)], []
    for step in steps:
        problems += [f"{step}: {problem}" for problem in _killed_at(home, step)]
    return Outcome(f"SIGKILL once there was {', '.join(steps)}; each finished by the next", tuple(problems))


def _killed_at(home: Path, step: str) -> list[str]:
    """What was not as it should be after a kill at one step and the next retraining."""
    seed = str(100 + STEPS.index(step))  # a retraining of its own, not the end of the one before
    options = ("--now", "true", "--seed", seed, "--retraining.challengers", json.dumps(CHALLENGERS), *SMALL)
    before = _versions(home)
    problems = [] if kill_once(home, step, options) else ["it ended before it could be killed"]
    problems += _wrong_production(home)
    result = _run(home, "retrain.py", *options)
    problems += _wrong_production(home)
    if result["staging"].get("recommender") not in result["versions"].values():
        problems.append(f"staged {result['staging']}, not one of {result['versions']}")
    grown = _versions(home) - before
    if grown != len(CHALLENGERS):
        problems.append(f"{grown} versions more, not {len(CHALLENGERS)}")
    return problems


def kill_once(home: Path, step: str, options: Sequence[str]) -> bool:
    """Start a retraining and kill it as soon as the store shows this step; whether it was still running."""
    newest = _newest(home)
    marked = _marks(home, step, newest)
    command = [sys.executable, str(REPOSITORY / "experiments" / "retrain.py"), *options]
    with (home / "retrain.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=_environment(home), stdout=log, stderr=log)
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while process.poll() is None and _marks(home, step, newest) <= marked:
            if time.monotonic() > deadline:
                raise TimeoutError(f"a retraining did not come to {step} within {PATIENCE_SECONDS} s")
            time.sleep(0.005)
    finally:
        running = process.poll() is None
        if running:
            process.send_signal(signal.SIGKILL)
        process.wait()
    return running


def _marks(home: Path, step: str, newest: int = 0) -> int:
    """How often the store shows a step: it has been reached where that grows. `newest`: the last version before; what
    was staged then is no mark."""
    with closing(sqlite3.connect(home / "mlflow.db", timeout=30)) as connection:
        if step == "version":
            return int(connection.execute("SELECT count(*) FROM model_versions").fetchone()[0])
        if step == "staged":
            query = "SELECT count(*) FROM model_versions WHERE current_stage = 'Staging' AND version > ?"
            return int(connection.execute(query, (newest,)).fetchone()[0])
        query = "SELECT count(*) FROM tags WHERE key = ?"
        return int(connection.execute(query, (ENTRY + step,)).fetchone()[0])


def _newest(home: Path) -> int:
    with closing(sqlite3.connect(home / "mlflow.db", timeout=30)) as connection:
        return int(connection.execute("SELECT coalesce(max(version), 0) FROM model_versions").fetchone()[0])


def _versions(home: Path) -> int:
    return _marks(home, "version")


def _wrong_production(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "mlflow.db", timeout=30)) as connection:
        rows = connection.execute("SELECT version FROM model_versions WHERE current_stage = 'Production'").fetchall()
    return [] if rows == [(1,)] else [f"in Production: {[version for (version,) in rows]}"]


def _home(home: Path) -> Path:
    home.mkdir()
    shutil.copytree(REPOSITORY / "conf", home / "conf")
    shutil.copy(REPOSITORY / "MLproject", home)
    return home


def _environment(home: Path) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    path = os.pathsep.join(filter(None, (str(REPOSITORY), str(REPOSITORY / "src"), kept.get("PYTHONPATH", ""))))
    return {**kept, "RECSTAGE_HOME": str(home), "PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}


def _run(home: Path, program: str, *options: str) -> dict:
    """The result of an entry point that is not killed. Raises `RuntimeError` where it fails."""
    command = [sys.executable, str(REPOSITORY / "experiments" / program), *options]
    done = subprocess.run(command, cwd=REPOSITORY, env=_environment(home), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{program} ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
    found: dict = json.loads(done.stdout.strip().splitlines()[-1])
    return found
