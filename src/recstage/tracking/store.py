"""The MLflow tracking store: where it is, how it is opened, and what its refusals mean."""

from __future__ import annotations

import errno
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import mlflow
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException

from recstage.config import root
from recstage.errors import ConfigError, RecstageError, StoreError
from recstage.tracking import experiment_page
from recstage.tracking.addresses import check_uri, reachable, without_password
from recstage.tracking.environment import configure

EXPERIMENT = "recstage"
PATIENCE_SECONDS = 120.0
SQLITE_HEADER = b"SQLite format 3\0"


def store_uri() -> str:
    """`MLFLOW_TRACKING_URI` where it is set (always so under `mlflow run`), else `mlflow.db` in the repository."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root() / 'mlflow.db'}"


def connect() -> MlflowClient:
    """Set MLflow's environment, point it at the store, initialise a fresh database once, and return a client.

    Two processes that initialise one SQLite database together crash, hence the lock. Raises `StoreError` where the
    store is locked, full or out of reach.
    """
    configure()
    uri = store_uri()
    check_uri(uri)
    if mlflow.get_tracking_uri() != uri:
        mlflow.set_tracking_uri(uri)
    with translate_store_errors(uri), _initialisation_lock(uri):
        reachable(uri)
        client = MlflowClient()
        client.search_experiments(max_results=1)
    return client


def experiment(name: str = EXPERIMENT) -> Experiment:
    """The experiment of that name, made on first use with an artifact location that no current folder can change.
    Raises `ConfigError` on a name without letters, and on one that was deleted."""
    if not name.strip():
        raise ConfigError(
            f"experiment name '{name}'",
            rule="an experiment has a name",
            fix="Unset MLFLOW_EXPERIMENT_NAME, or name one",
        )
    client = connect()
    with translate_store_errors(store_uri()):
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
    alive = _alive(found)
    experiment_page.prepare(client, alive)
    return alive


def experiment_by_id(number: str) -> Experiment:
    """The experiment that `MLFLOW_EXPERIMENT_ID` names. Raises `ConfigError` where there is none, or it was deleted."""
    client = connect()
    try:
        with translate_store_errors(store_uri()):
            return _alive(client.get_experiment(number))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        known = {found.name: found.experiment_id for found in client.search_experiments()}
        listed = ", ".join(f"{number} ({name})" for name, number in known.items())
        raise ConfigError(
            f"experiment id '{number}'", rule=f"{store_uri()} has no such experiment", fix=f"There are {listed}"
        ) from error


def _alive(found: Experiment) -> Experiment:
    if found.lifecycle_stage == "active":
        return found
    raise ConfigError(
        f"experiment '{found.name}'",
        rule="it was deleted",
        fix=f"Restore it (mlflow experiments restore --experiment-id {found.experiment_id}), or name another in "
        "MLFLOW_EXPERIMENT_NAME",
    )


def shown_uri() -> str:
    """The store's address as it may be shown: without a password."""
    return without_password(store_uri())


def last_runs(most: int) -> list[Run]:
    """The newest runs of all experiments."""
    if not most:
        return []
    client = connect()
    with translate_store_errors(store_uri()):
        ids = [one.experiment_id for one in client.search_experiments()]
        return list(client.search_runs(ids, max_results=most, order_by=["attributes.start_time DESC"]))


def outside_environment() -> dict[str, str]:
    """The environment for a program that opens runs of its own in the same store, called from within a run."""
    inside = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
    return {
        **{key: value for key, value in os.environ.items() if key not in inside},
        "MLFLOW_TRACKING_URI": store_uri(),
    }


@contextmanager
def translate_store_errors(where: str) -> Iterator[None]:
    """Turn what a locked, full or absent store raises into one clear `StoreError`, and keep MLflow's traceback off
    the terminal."""
    logging.getLogger("mlflow.store.db.utils").addFilter(_no_traceback)  # adding it twice is adding it once
    try:
        yield
    except RecstageError:
        raise
    except OSError as error:
        if no_space_left(error):
            raise StoreError(where, rule="the disk is full", fix="Free some space and run again") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise StoreError(where, rule="the folder is not writable", fix="Change its permissions") from error
        raise
    except Exception as error:
        # MLflow, Optuna and SQLAlchemy wrap the database's error: only its message is left of it
        message = " ".join(_messages(error))
        for part, (rule, fix) in KNOWN_MESSAGES.items():
            if part in message:
                if part == OUT_OF_DATE and not _is_known_revision(message):
                    rule, fix = KNOWN_MESSAGES[NO_SUCH_REVISION]
                raise StoreError(where, rule=rule, fix=fix) from error
        raise


def no_space_left(error: BaseException) -> bool:
    """Whether a file could not be written for want of space; MLflow may have wrapped the system's error."""
    number = getattr(error, "errno", None)
    return number in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in " ".join(_messages(error))


def _is_known_revision(message: str) -> bool:
    """Whether the revision that a database is of (`found version ...`) is one of the installed MLflow's own past."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    found = re.search(r"found version (\w+)", message)
    folder = Path(mlflow.__file__).parent / "store" / "db_migrations"
    try:
        return found is not None and ScriptDirectory(str(folder)).get_revision(found[1]) is not None
    except CommandError:
        return False


def _messages(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield str(error)
        error = error.__cause__


def _no_traceback(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("SQLAlchemy database error")


NO_SUCH_REVISION, OUT_OF_DATE = "Can't locate revision identified by", "Detected out-of-date database schema"
KNOWN_MESSAGES = {
    "database is locked": ("the database is locked by another process", "Wait for it to finish, or end it"),
    "database or disk is full": ("the disk is full", "Free some space and run again"),
    "No space left on device": ("the disk is full", "Free some space and run again"),
    "unable to open database file": ("the database cannot be opened", "Check the path and its permissions"),
    "attempt to write a readonly database": ("the database is read-only", "Change its permissions"),
    NO_SUCH_REVISION: (
        f"the database was made by a newer MLflow than the {mlflow.__version__} that is installed",
        "Install that MLflow, or name another store in MLFLOW_TRACKING_URI",
    ),
    OUT_OF_DATE: (
        f"the database was made by an older MLflow than the {mlflow.__version__} that is installed",
        "Back it up, then bring it up to date: mlflow db upgrade URI",
    ),
    "too many 500 error responses": (
        "the MLflow server fails, or its artifact store does not answer",
        "Look into the server's log, start what is away, and run again",
    ),
    "endpoint URL": (
        "the S3-compatible artifact store does not answer",
        "Start it, or correct MLFLOW_S3_ENDPOINT_URL",
    ),
    "Max retries exceeded": ("the MLflow server does not answer", "Start it, or correct MLFLOW_TRACKING_URI"),
}
"""Part of a message of SQLite, the operating system or the HTTP client: the rule and the fix of the `StoreError`. A
test provokes each of them."""


def database_file(uri: str | None = None) -> Path | None:
    """The file of the store; None where it is no SQLite file."""
    uri = store_uri() if uri is None else uri
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def database_identity(uri: str | None = None) -> tuple[int, int, str | None] | None:
    """What changes when another database takes the place of the store's: device and inode of the file, and the
    revision of its schema. None where the store is no SQLite file, or the file is not there or cannot be read.

    MLflow keeps its connections for as long as a process lives: it goes on reading a file that was replaced (a backup
    renamed into its place), and finds no tables where a newer MLflow has changed them.
    """
    path = database_file(uri)
    if path is None:
        return None
    try:
        found = path.stat()
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        return (found.st_dev, found.st_ino, None) if "no such table" in str(error) else None
    except (OSError, sqlite3.Error):
        return None
    return found.st_dev, found.st_ino, None if row is None else str(row[0])


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
