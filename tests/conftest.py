"""Fixtures for every folder: the shared data sets where they are, and small seeded ones everywhere."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recstage import config
from recstage.config import DataConfig, SplitConfig, SyntheticSource
from recstage.data.dataset import Dataset, prepare

pytest_plugins = ["tests.browser", "tests.evaluation_cases", "tests.ray_nodes", "tests.registry_driver"]

TINY = """
source: {kind: synthetic, users: 80, items: 40, interactions: 3000, seed: 3}
weights: {view: 0.1, click: 0.3, like: 0.7, share: 1.0}
split: {method: leave-one-out, negatives: 20}
"""
FEED_WEIGHTS = {"view": 0.1, "click": 0.3, "like": 0.7, "share": 1.0}


@pytest.fixture(autouse=True)
def _loggers() -> Iterator[None]:
    """What a test (or a program that it runs in this process) sets of the loggers does not reach the next one."""
    loggers = [logging.getLogger(name) for name in ("recstage", "serving")]
    before = [(one.level, one.propagate, list(one.handlers), one.disabled) for one in loggers]
    yield
    for one, (level, propagate, handlers, disabled) in zip(loggers, before, strict=True):
        one.setLevel(level)
        one.propagate, one.handlers, one.disabled = propagate, handlers, disabled


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """A run that is interrupted ignores further signals, and programs inherit that: the next test's shall not."""
    signs = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(sign) for sign in signs]
    yield
    for sign, handler in zip(signs, before, strict=True):
        signal.signal(sign, handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets that RECSTAGE_SHARED_DATA names; skips where it is not set."""
    named = os.environ.get("RECSTAGE_SHARED_DATA")
    if not named:
        pytest.skip("RECSTAGE_SHARED_DATA is not set: the real data sets are not here")
    return Path(named)


@pytest.fixture(scope="session")
def small_config() -> DataConfig:
    """120 users, 60 items, 4,000 events of a feed, cut leave-one-out, 20 sampled candidates a user."""
    return DataConfig(
        name="small",
        source=SyntheticSource(users=120, items=60, interactions=4000, seed=7),
        weights=FEED_WEIGHTS,
        split=SplitConfig(method="leave-one-out", negatives=20),
    )


@pytest.fixture(scope="session")
def small_dataset(small_config: DataConfig) -> Dataset:
    """The prepared data set of `small_config`, outside any cache."""
    return prepare(small_config, "small")


@pytest.fixture(scope="session")
def temporal_dataset(small_config: DataConfig) -> Dataset:
    """The same events cut at one moment for all users."""
    split = SplitConfig(method="temporal", negatives=20)
    return prepare(small_config.model_copy(update={"name": "small-temporal", "split": split}), "small-temporal")


@pytest.fixture(scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """A test's database need not survive a power cut."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def relax(connection, _record):
        if "sqlite" in type(connection).__module__:
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", relax)
    yield
    event.remove(Engine, "connect", relax)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory, no_waiting_for_the_disk: None) -> Iterator[Path]:
    """An MLflow store that was initialised once, to copy from: that takes seconds."""
    import mlflow

    from recstage import tracking

    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        tracking.connect()
        yield path
    mlflow.set_tracking_uri(None)


@pytest.fixture
def blank_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots of runs are made and logged, but not drawn: that takes longer than a small model's training. tests/plots
    draws each of them."""
    from matplotlib.figure import Figure

    draw = Figure.savefig

    def save(_figure: Figure, *arguments: Any, **options: Any) -> None:
        draw(Figure((0.1, 0.1)), *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", save)


@pytest.fixture
def workspace(
    tmp_path: Path, empty_database: Path, blank_plots: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder that `root()` takes for the repository, with the real conf and its own data, runs and registry; nothing
    is exported, as in a fresh shell."""
    import mlflow

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
    mlflow.set_tracking_uri(None)  # setting it also exported it: a later test must not inherit it
    config.root.cache_clear()


@pytest.fixture
def tiny(workspace: Path) -> str:
    """A data set that trains in a second."""
    return str(workspace / "tiny.yaml")
