"""The life of an MLflow run: it always ends as FINISHED, FAILED or KILLED, and records which code it ran."""

from __future__ import annotations

import os
import signal
import subprocess
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cache

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from recstage.config import root
from recstage.errors import ConfigError
from recstage.models.memory import peak_memory_mb
from recstage.progress import in_a_notebook
from recstage.tracking.logging import LONGEST_PARAM, NOTE, log_metrics, log_table
from recstage.tracking.moved import refuse_old_place
from recstage.tracking.store import (
    EXPERIMENT,
    connect,
    experiment,
    experiment_by_id,
    store_uri,
    translate_store_errors,
)
from recstage.tracking.system_usage import TABLE, SystemUsage

SYSTEM_METRICS_SECONDS = 1.0
LONGEST_NAME, LONGEST_OUTCOME = 80, 4500
COMMIT, ENTRY_POINT = "git-commit", "mlflow.project.entryPoint"


@contextmanager
def run(
    name: str, *, tags: Mapping[str, str], nested: bool = False, system_metrics: bool = True, own_row: bool = False
) -> Iterator[Run]:
    """An MLflow run: the one that `mlflow run` opened, else a new one. It ends FINISHED, KILLED on Ctrl-C or SIGTERM,
    and FAILED on any other exception, which passes on. With `own_row` a run within another one stands beside it in the
    MLflow UI, not below it, and names it in its tag `job`."""
    uri = store_uri()
    with translate_store_errors(uri):
        connect()
        given_from_outside = "MLFLOW_RUN_ID" in os.environ and mlflow.active_run() is None
        parent = mlflow.active_run()
        where = None if given_from_outside else parent.info.experiment_id if parent else _experiment_id()
        if parent is None:
            refuse_old_place(_artifacts_of(where))
        all_tags = {**tags, **_provenance()}
        if own_row and parent is not None and where is not None:  # what exists already is not nested
            made = MlflowClient().create_run(where, tags={**all_tags, "job": parent.info.run_id}, run_name=name)
            active = mlflow.start_run(run_id=made.info.run_id, nested=True, log_system_metrics=False)
        else:
            active = mlflow.start_run(
                run_name=None if given_from_outside else name,
                experiment_id=where,
                nested=nested,
                tags=all_tags,
                log_system_metrics=False,
            )
    run_id, started = active.info.run_id, time.perf_counter()
    usage = SystemUsage(run_id, SYSTEM_METRICS_SECONDS) if system_metrics and not nested else None
    try:
        with translate_store_errors(uri):
            if given_from_outside:
                MlflowClient().set_tag(run_id, "mlflow.runName", name)
            if usage is not None:
                usage.start()
            yield active
            _log_resources(run_id, time.perf_counter() - started)
            mlflow.end_run("FINISHED")
    except KeyboardInterrupt:
        # `mlflow run` passes the interrupt on a second time: it must not interrupt the clean-up
        for sign in (signal.SIGINT, signal.SIGTERM):
            _ignore(sign)
        with suppress(Exception):  # `mlflow run` calls every child that did not end well FAILED: this tag says more
            MlflowClient().set_tag(run_id, "ended", "KILLED")
        _end(run_id, "KILLED")
        raise
    except BaseException as error:
        _end(run_id, "FAILED")
        with suppress(Exception):  # a full disk may refuse the tag, too: the status matters more
            MlflowClient().set_tag(run_id, "failure", f"{type(error).__name__}: {error}"[:LONGEST_PARAM])
        raise
    finally:
        if usage is not None:
            with suppress(Exception):  # a lost table is no news
                usage.finish()
                log_table(run_id, TABLE, usage.table())


def begin_nested(name: str, *, tags: Mapping[str, str]) -> str:
    """The id of a new run below the active one, of which many can be under way together; `end_nested` ends it."""
    parent = mlflow.active_run()
    assert parent is not None
    below = {"mlflow.parentRunId": parent.info.run_id}
    made = MlflowClient().create_run(parent.info.experiment_id, tags={**tags, **_provenance(), **below}, run_name=name)
    return made.info.run_id


def end_nested(run_id: str, status: str) -> None:
    """End a run of `begin_nested`: FINISHED, FAILED or KILLED. Where it did not end well, what ended it matters more
    than whether this can be written."""
    with nullcontext() if status == "FINISHED" else suppress(Exception):
        MlflowClient().set_terminated(run_id, status)


def describe_untaken(outcome: str, error: Exception | None = None) -> None:
    """Name and describe the run that `mlflow run` opened, where the entry point ended without `run` taking it over:
    MLflow gives it a random name. `outcome` is the result as JSON, or the message of `error`. What goes wrong here
    matters less than either."""
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if not run_id:
        return
    with suppress(Exception):
        connect()
        client = MlflowClient()
        tags = client.get_run(run_id).data.tags
        if COMMIT in tags:  # `run` had it
            return
        entry = tags.get(ENTRY_POINT, "entry point")
        told = {"mlflow.runName": entry, "stage-of-work": entry, NOTE: f"```json\n{outcome[:LONGEST_OUTCOME]}\n```"}
        if error is not None:
            told["mlflow.runName"] = textwrap.shorten(f"{entry} · not done · {outcome}", LONGEST_NAME, placeholder=" …")
            told["failure"] = f"{type(error).__name__}: {outcome}"[:LONGEST_PARAM]
            told[NOTE] = f"**Not done.** {outcome}"
        for key, value in told.items():
            client.set_tag(run_id, key, value)


def _experiment_id() -> str:
    named = os.environ.get("MLFLOW_EXPERIMENT_ID")
    found = experiment_by_id(named) if named else experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
    return found.experiment_id


def _artifacts_of(experiment_id: str | None) -> str:
    """Where a run will put its artifacts: a new one of that experiment, or the one that `mlflow run` opened. Raises
    `ConfigError` where MLFLOW_RUN_ID names none."""
    client = MlflowClient()
    if experiment_id is not None:
        return client.get_experiment(experiment_id).artifact_location
    run_id = os.environ["MLFLOW_RUN_ID"]
    try:
        return client.get_run(run_id).info.artifact_uri
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise ConfigError(
            f"MLFLOW_RUN_ID = {run_id}",
            rule=f"{store_uri()} has no such run",
            fix="Unset it: `mlflow run` sets it for the run that it opens",
        ) from error


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
    if in_a_notebook():  # a notebook lives on, and its next cell must be interruptible
        return
    with suppress(ValueError):  # not the main thread: signals do not arrive here
        signal.signal(sign, signal.SIG_IGN)


def _log_resources(run_id: str, seconds: float) -> None:
    log_metrics(run_id, {"wall_seconds": seconds, "peak_memory_mb": peak_memory_mb()})


@cache
def _provenance() -> dict[str, str]:
    commit, status = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    if commit is None:
        return {COMMIT: "unknown", "git-dirty": "unknown"}
    return {COMMIT: commit, "git-dirty": str(bool(status)).lower()}


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(["git", "-C", str(root()), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
