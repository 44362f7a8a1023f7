"""MLflow runs: the only room that logs.

`connect` makes notebooks, steps, the command line, the UI and the service agree on one tracking store; `run` opens a
run that always ends as FINISHED, FAILED or KILLED; the `log_*` functions write what every run of recstage carries.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
if not sys.stderr.isatty():
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
import pandas as pd
import yaml
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Experiment, Metric, Param, Run
from mlflow.exceptions import MlflowException

from recstage import bundle, pyfunc_model
from recstage.config import root
from recstage.data.dataset import Dataset
from recstage.errors import ConfigError, RecstageError, StoreError
from recstage.evaluation.protocol import Evaluation
from recstage.models.base import Recommender

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPERIMENT = "recstage"
MODEL_ARTIFACT = "model"
PER_USER = "evaluation/per_user.parquet"
SYSTEM_METRICS_SECONDS = 1.0
LONGEST_PARAM = 6000
PATIENCE_SECONDS = 120.0
SQLITE_HEADER = b"SQLite format 3\0"

# -- the store ----------------------------------------------------------------------------------------------


def store_uri() -> str:
    """`MLFLOW_TRACKING_URI` where it is set (always so under `mlflow run`), else `mlflow.db` in the repository."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root() / 'mlflow.db'}"


def connect() -> MlflowClient:
    """Point MLflow at the store, initialise a fresh database once, and return a client.

    Two processes that initialise one SQLite database together crash, hence the lock. Raises `StoreError` where the
    store is locked, full or out of reach.
    """
    uri = store_uri()
    if mlflow.get_tracking_uri() != uri:
        mlflow.set_tracking_uri(uri)
    with refusals(uri), _initialisation_lock(uri):
        client = MlflowClient()
        client.search_experiments(max_results=1)
    return client


def experiment(name: str = EXPERIMENT) -> Experiment:
    """The experiment of that name, made on first use with an artifact location that no current folder can change."""
    client = connect()
    with refusals(store_uri()):
        found = client.get_experiment_by_name(name)
        if found is None:
            local = store_uri().startswith("sqlite")
            location = (root() / "mlruns" / name).as_uri() if local else None
            try:
                client.create_experiment(name, artifact_location=location)
            except MlflowException:
                if client.get_experiment_by_name(name) is None:  # else another process made it meanwhile
                    raise
            found = client.get_experiment_by_name(name)
    assert found is not None
    return found


def outside_environment() -> dict[str, str]:
    """The environment for a program that opens runs of its own in the same store, called from within a run."""
    inside = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
    return {
        **{key: value for key, value in os.environ.items() if key not in inside},
        "MLFLOW_TRACKING_URI": store_uri(),
    }


@contextmanager
def refusals(where: str) -> Iterator[None]:
    """Turn what a locked, full or absent store raises into one clear `StoreError`, and keep MLflow's traceback off
    the terminal."""
    logging.getLogger("mlflow.store.db.utils").addFilter(_no_traceback)  # adding it twice is adding it once
    try:
        yield
    except RecstageError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(where, rule="the disk is full", fix="Free some space and run again") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise StoreError(where, rule="the folder is not writable", fix="Change its permissions") from error
        raise
    except Exception as error:
        # MLflow, Optuna and SQLAlchemy wrap what the database says; its words are all that is left of it
        words = " ".join(_words(error))
        for sign, rule, fix in _REFUSALS:
            if sign in words:
                raise StoreError(where, rule=rule, fix=fix) from error
        raise


def _words(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield str(error)
        error = error.__cause__


def _no_traceback(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("SQLAlchemy database error")


_REFUSALS = (
    ("database is locked", "the database is locked by another process", "Wait for it to finish, or end it"),
    ("database or disk is full", "the disk is full", "Free some space and run again"),
    ("No space left on device", "the disk is full", "Free some space and run again"),
    ("unable to open database file", "the database cannot be opened", "Check the path and its permissions"),
    ("attempt to write a readonly database", "the database is read-only", "Change its permissions"),
    ("Max retries exceeded", "the MLflow server does not answer", "Start it, or correct MLFLOW_TRACKING_URI"),
)


@contextmanager
def _initialisation_lock(uri: str) -> Iterator[None]:
    if not uri.startswith("sqlite:///"):
        yield
        return
    database = Path(uri.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True, exist_ok=True)
    if database.is_file() and _first_bytes(database) not in (b"", SQLITE_HEADER):
        # MLflow would try for more than a minute before it gave up
        raise StoreError(uri, rule="the file is not a database", fix="Give another MLFLOW_TRACKING_URI")
    lock = FileLock(f"{database}.lock", timeout=PATIENCE_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            uri,
            rule=f"another process has been initialising it for {PATIENCE_SECONDS:.0f} seconds",
            fix="Wait for it to finish, or end it",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(len(SQLITE_HEADER))


# -- runs --------------------------------------------------------------------------------------------------


@contextmanager
def run(name: str, *, tags: Mapping[str, str], nested: bool = False, system_metrics: bool = True) -> Iterator[Run]:
    """An MLflow run: the one that `mlflow run` opened, else a new one. It ends FINISHED, KILLED on Ctrl-C or SIGTERM,
    and FAILED on any other exception, which passes on."""
    uri = store_uri()
    with refusals(uri):
        connect()
        mlflow.set_system_metrics_sampling_interval(SYSTEM_METRICS_SECONDS)
        given_from_outside = "MLFLOW_RUN_ID" in os.environ and mlflow.active_run() is None
        parent = mlflow.active_run()
        where = None if given_from_outside else parent.info.experiment_id if parent else _experiment_id()
        all_tags = {**tags, **_provenance()}
        active = mlflow.start_run(
            run_name=None if given_from_outside else name,
            experiment_id=where,
            nested=nested,
            tags=all_tags,
            log_system_metrics=system_metrics and not nested,
        )
    run_id, started = active.info.run_id, time.perf_counter()
    try:
        with refusals(uri):
            if given_from_outside:
                MlflowClient().set_tag(run_id, "mlflow.runName", name)
            yield active
            _log_resources(run_id, time.perf_counter() - started)
            mlflow.end_run("FINISHED")
    except KeyboardInterrupt:
        # `mlflow run` passes the interrupt on a second time: it must not cut the farewell short
        for sign in (signal.SIGINT, signal.SIGTERM):
            _ignore(sign)
        _end(run_id, "KILLED")
        raise
    except BaseException as error:
        _end(run_id, "FAILED")
        with suppress(Exception):  # a full disk may refuse the tag, too: the status matters more
            MlflowClient().set_tag(run_id, "failure", f"{type(error).__name__}: {error}"[:LONGEST_PARAM])
        raise


def _experiment_id() -> str | None:
    named = os.environ.get("MLFLOW_EXPERIMENT_ID")
    return named or experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)).experiment_id


def _end(run_id: str, status: str) -> None:
    """End a run that went wrong. What else fails now matters less than what ended it; the runs around it are left
    alone."""
    with suppress(Exception):
        active = mlflow.active_run()
        if active is not None and active.info.run_id == run_id:
            mlflow.end_run(status)
            return
    with suppress(Exception):  # MLflow forgets a run before it writes the status: what failed once is tried by id
        MlflowClient().set_terminated(run_id, status)


def _ignore(sign: int) -> None:
    if "ipykernel" in sys.modules:  # a notebook lives on, and its next cell must be interruptible
        return
    with suppress(ValueError):  # not the main thread: signals do not arrive here
        signal.signal(sign, signal.SIG_IGN)


def _log_resources(run_id: str, seconds: float) -> None:
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    log_metrics(run_id, {"wall_seconds": seconds, "peak_memory_mb": peak_mb})


@cache
def _provenance() -> dict[str, str]:
    commit, status = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    if commit is None:
        return {"git-commit": "unknown", "git-dirty": "unknown"}
    return {"git-commit": commit, "git-dirty": str(bool(status)).lower()}


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(["git", "-C", str(root()), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


# -- what runs carry ---------------------------------------------------------------------------------------


@cache
def prepare_to_log() -> threading.Thread:
    """Load what logging a model needs while the caller does something else: a fit in compiled code leaves the
    interpreter free for the second that takes."""
    thread = threading.Thread(target=_load_for_logging, name="prepare-to-log")
    thread.start()
    return thread


def _load_for_logging() -> None:
    import_module("matplotlib.backends.backend_agg")
    import_module("mlflow.pyfunc.model")
    requirements_utils = import_module("mlflow.utils.requirements_utils")
    requirements_utils.warn_dependency_requirement_mismatches(["mlflow"])  # finds out what is installed, and keeps it


def log_metrics(run_id: str, metrics: Mapping[str, float], step: int = 0, model: str | None = None) -> None:
    """Numbers in one batch; with the id of a logged model they are also the model's."""
    now = int(time.time() * 1000)
    rows = [Metric(key, float(value), now, step, model_id=model, run_id=run_id) for key, value in metrics.items()]
    MlflowClient().log_batch(run_id, metrics=rows)


def log_config(run_id: str, config: Mapping[str, Any]) -> None:
    """The resolved configuration: whole as `config.yaml`, and its leaves as parameters (those that `mlflow run` wrote
    down before are left as they are: MLflow refuses a second value)."""
    client = MlflowClient()
    client.log_text(run_id, yaml.safe_dump(dict(config), sort_keys=False), "config.yaml")
    present = client.get_run(run_id).data.params
    leaves = {key: str(value)[:LONGEST_PARAM] for key, value in _leaves(config).items() if key not in present}
    params = [Param(key, value) for key, value in leaves.items()]
    for start in range(0, len(params), 100):
        client.log_batch(run_id, params=params[start : start + 100])


def log_dataset(run_id: str, dataset: Dataset) -> None:
    """The data set as MLflow knows one (name, digest, profile) and its fingerprint as a tag."""
    client = MlflowClient()
    split = dataset.split
    profile = {
        "users": split.train.n_users,
        "items": split.train.n_items,
        "train": len(split.train),
        "validation": len(split.validation),
        "test": len(split.test),
    }
    described = MetaDataset(  # type: ignore[abstract]
        CodeDatasetSource({"prepared-by": "recstage"}), dataset.name, dataset.fingerprint
    )
    mlflow.log_input(described, context="training", tags={key: str(value) for key, value in profile.items()})
    client.log_dict(run_id, {**profile, "fingerprint": dataset.fingerprint, "report": dataset.report}, "dataset.json")
    for key, value in dataset_tags(dataset).items():
        client.set_tag(run_id, key, value)


def dataset_tags(dataset: Dataset) -> dict[str, str]:
    """The tags by which runs are comparable."""
    return {"data": dataset.name, "split": dataset.split.method, "fingerprint": dataset.fingerprint}


def log_libraries(run_id: str) -> None:
    """Versions of all installed libraries as `libraries.txt`."""
    lines = sorted({f"{one.metadata['Name']}=={one.version}" for one in distributions()}, key=str.lower)
    MlflowClient().log_text(run_id, "\n".join(lines) + "\n", "libraries.txt")


def log_evaluation(run_id: str, evaluation: Evaluation, model_uri: str | None = None) -> None:
    """Metrics, their confidence intervals and the per-user values that paired comparisons need; with the URI of the
    model that the run logged, the metrics are also the model's."""
    bounds = {
        f"{name}_{side}": value
        for name, interval in evaluation.intervals.items()
        for side, value in zip(("low", "high"), interval, strict=True)
    }
    model = None if model_uri is None else model_uri.removeprefix("models:/")
    log_metrics(run_id, {**evaluation.metrics, **bounds}, model=model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(PER_USER).name
        evaluation.per_user.to_parquet(path, index=False)
        MlflowClient().log_artifact(run_id, str(path), str(Path(PER_USER).parent))


def log_figures(run_id: str, figures: Mapping[str, Figure]) -> None:
    """Plots as `plots/NAME.png`."""
    for name, figure in figures.items():
        MlflowClient().log_figure(run_id, figure, f"plots/{name}.png")


def log_table(run_id: str, name: str, rows: pd.DataFrame) -> None:
    """A table as `NAME.csv`."""
    MlflowClient().log_text(run_id, rows.to_csv(index=False), f"{name}.csv")


def log_model(run_id: str, model: Recommender, metadata: Mapping[str, Any]) -> str:
    """The bundle of a fitted model as a pyfunc of the active run; returns its model URI. Logs its size in bytes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "bundle"
        bundle.save(model, folder, metadata={**metadata, "run_id": run_id})
        logged = mlflow.pyfunc.log_model(
            name=MODEL_ARTIFACT,
            python_model=str(pyfunc_model.FILE),
            artifacts={"bundle": str(folder)},
            signature=pyfunc_model.signature(),
            input_example=pyfunc_model.example(model),
            pip_requirements=pyfunc_model.requirements(),
            metadata={"algorithm": model.name, "bundle_sha256": bundle.digest_of(folder)},
        )
        log_metrics(run_id, {"bundle_bytes": bundle.size_of(folder)})
    return logged.model_uri


def log_text(run_id: str, text: str, name: str) -> None:
    """A text artifact."""
    MlflowClient().log_text(run_id, text, name)


def _leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            found.update(_leaves(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list | tuple | dict) else value
    return found


def per_user_of(run_id: str) -> pd.DataFrame:
    """The per-user metrics that a run logged. Raises `ConfigError` where it has none."""
    try:
        path = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=PER_USER)
    except (MlflowException, OSError) as error:
        raise ConfigError(f"run {run_id}", rule=f"has no {PER_USER}", fix="Train or evaluate it again") from error
    return pd.read_parquet(path)
