"""A repository of one's own for each test: the real conf, its own data, runs and registry."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from recstage import config, tracking

TINY = """
source: {kind: synthetic, users: 80, items: 40, interactions: 3000, seed: 3}
weights: {view: 0.1, click: 0.3, like: 0.7, share: 1.0}
split: {method: leave-one-out, negatives: 20}
"""
QUICK = [
    "--evaluation.bootstrap=100",
    "--evaluation.latency_requests=5",
]


@pytest.fixture
def workspace(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that `root()` takes for the repository; nothing is exported, as in a fresh shell."""
    here = config.root()
    home = tmp_path / "home"
    shutil.copytree(here / "conf", home / "conf")
    shutil.copy(here / "MLproject", home)
    shutil.copy(empty_database, home / "mlflow.db")
    (home / "tiny.yaml").write_text(TINY)
    monkeypatch.setenv("RECSTAGE_HOME", str(home))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    config.root.cache_clear()
    yield home
    while mlflow.active_run():
        mlflow.end_run("KILLED")
    # setting the URI also exports it: a later test must not inherit it
    mlflow.set_tracking_uri(None)
    config.root.cache_clear()


@pytest.fixture
def tiny(workspace: Path) -> str:
    """A data set that trains in a second."""
    return str(workspace / "tiny.yaml")


@pytest.fixture
def client(workspace: Path) -> mlflow.MlflowClient:
    """A client of the workspace's store."""
    return tracking.connect()
