import errno
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import mlflow
import pytest
from filelock import FileLock
from sqlalchemy import event
from sqlalchemy.engine import Engine

from recstage import tracking
from recstage.config import root
from recstage.errors import ConfigError, StoreError

pytestmark = pytest.mark.slow

SNIPPET = "from recstage import tracking; print(tracking.experiment().artifact_location)"


def fresh_environment(home):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "RECSTAGE_"))}
    return {**kept, "RECSTAGE_HOME": str(home)}


def python(home, code, **options):
    return subprocess.run(
        [sys.executable, "-c", code], env=fresh_environment(home), capture_output=True, text=True, **options
    )


@pytest.mark.integration
def test_two_programs_that_meet_at_a_fresh_store_both_find_it_ready(workspace):
    (workspace / "mlflow.db").unlink()
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: python(workspace, SNIPPET), range(2)))
    assert [done.returncode for done in both] == [0, 0], both[0].stderr + both[1].stderr
    assert both[0].stdout == both[1].stdout


@pytest.mark.integration
def test_artifacts_lie_in_the_repository_wherever_a_program_starts(workspace, tmp_path):
    done = python(workspace, SNIPPET, cwd=tmp_path)
    assert done.stdout.strip().endswith("/home/mlruns/recstage")
    assert not (tmp_path / "mlruns").exists()
    assert not (tmp_path / "mlflow.db").exists()


def test_an_exported_uri_wins(workspace, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    assert tracking.store_uri() == f"sqlite:///{tmp_path / 'other.db'}"


@pytest.mark.integration
def test_a_locked_database_is_one_clear_error(workspace, monkeypatch):
    tracking.experiment()
    holder = sqlite3.connect(workspace / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(StoreError, match="the database is locked by another process. Wait for it to finish"):
            tracking.experiment("another")
    finally:
        holder.execute("ROLLBACK")


def test_a_file_that_is_no_database_is_one_clear_error(workspace, monkeypatch, tmp_path):
    (tmp_path / "notes.db").write_text("this is no database, only some text that is long enough" * 50)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'notes.db'}")
    with pytest.raises(StoreError, match="the file is not a database. Give another MLFLOW_TRACKING_URI"):
        tracking.connect()


def test_a_server_that_does_not_answer_is_one_clear_error(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreError, match=r"the MLflow server does not answer \(.*\)\. Start it, or correct"):
        tracking.connect()


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "the disk is full. Free some space"), (errno.EACCES, "the folder is not writable")],
)
def test_a_disk_that_refuses_fails_the_run_with_one_clear_error(workspace, code, words):
    with pytest.raises(StoreError, match=words), tracking.run("full", tags={}) as active:
        raise OSError(code, os.strerror(code))
    assert mlflow.get_run(active.info.run_id).info.status == "FAILED"
    assert mlflow.active_run() is None


def test_a_store_that_is_being_initialised_for_too_long_is_one_clear_error(workspace, monkeypatch):
    monkeypatch.setattr(tracking.store, "PATIENCE_SECONDS", 0.05)
    with FileLock(workspace / "mlflow.db.lock"), pytest.raises(StoreError, match="another process has been initial"):
        tracking.connect()


@pytest.fixture
def no_more_metrics():
    """A database that is full when a metric is written."""

    def refusing(_connection, _cursor, statement, *_):
        if statement.startswith("INSERT") and "metrics" in statement:
            raise sqlite3.OperationalError("database or disk is full")

    event.listen(Engine, "before_cursor_execute", refusing)
    yield
    event.remove(Engine, "before_cursor_execute", refusing)


def test_a_database_that_fills_up_during_a_run_fails_it_without_a_traceback(workspace, no_more_metrics, capfd):
    with pytest.raises(StoreError, match="the disk is full"), tracking.run("full", tags={}) as active:
        tracking.log_metrics(active.info.run_id, {"a": 1.0})
    assert mlflow.get_run(active.info.run_id).info.status == "FAILED"
    assert "Traceback" not in capfd.readouterr().err


def test_an_error_of_recstage_passes_on_unchanged():
    with (
        pytest.raises(StoreError, match="^service.db: the database is locked. Wait.$"),
        tracking.translate_store_errors("mlflow.db"),
    ):
        raise StoreError("service.db", rule="the database is locked", fix="Wait")


def test_the_message_of_the_database_is_found_in_the_causes_of_the_error():
    cause = sqlite3.OperationalError("database or disk is full")
    with pytest.raises(StoreError, match="^optuna.db: the disk is full"), tracking.translate_store_errors("optuna.db"):
        raise RuntimeError("An exception is raised during the commit") from cause


def test_other_errors_of_the_system_pass_as_they_are(workspace):
    with pytest.raises(FileNotFoundError), tracking.translate_store_errors("here"):
        (workspace / "missing").read_text()


def test_a_run_ends_finished_failed_or_killed(workspace, monkeypatch):
    monkeypatch.setattr(tracking.runs, "_ignore", lambda sign: None)

    def status(error):
        try:
            with tracking.run("r", tags={}, system_metrics=False) as active:
                if error:
                    raise error
        except (ValueError, KeyboardInterrupt, SystemExit):
            pass
        return mlflow.get_run(active.info.run_id).info.status

    assert [status(e) for e in (None, ValueError("x"), SystemExit(2), KeyboardInterrupt())] == [
        "FINISHED",
        "FAILED",
        "FAILED",
        "KILLED",
    ]


@pytest.fixture
def fails_to_end(monkeypatch):
    """Let the status `FINISHED` be refused, as by a database that is locked at that moment."""
    terminate = mlflow.MlflowClient.set_terminated

    def refusing(self, run_id, status=None, *rest):
        if status == "FINISHED":
            raise mlflow.MlflowException("(sqlite3.OperationalError) database is locked")
        terminate(self, run_id, status, *rest)

    monkeypatch.setattr(mlflow.MlflowClient, "set_terminated", refusing)


def test_a_run_that_cannot_be_ended_as_finished_does_not_stay_running(workspace, fails_to_end):
    with pytest.raises(StoreError, match="locked"), tracking.run("r", tags={}, system_metrics=False) as active:
        pass
    assert mlflow.get_run(active.info.run_id).info.status == "FAILED"


def test_a_child_that_cannot_be_ended_does_not_leave_its_parent_running(workspace, fails_to_end):
    with (
        pytest.raises(StoreError, match="locked"),
        tracking.run("parent", tags={}, system_metrics=False) as parent,
        tracking.run("child", tags={}, nested=True) as child,
    ):
        pass
    assert [mlflow.get_run(run.info.run_id).info.status for run in (child, parent)] == ["FAILED", "FAILED"]
    assert "locked" in mlflow.get_run(parent.info.run_id).data.tags["failure"]


def test_a_run_given_from_outside_that_cannot_be_named_is_failed(workspace, monkeypatch):
    experiment = tracking.experiment()
    given = tracking.connect().create_run(experiment.experiment_id)
    monkeypatch.setenv("MLFLOW_RUN_ID", given.info.run_id)
    set_tag = mlflow.MlflowClient.set_tag

    def refusing(self, run_id, key, value, *rest):
        if key == "mlflow.runName":
            raise mlflow.MlflowException("(sqlite3.OperationalError) database is locked")
        set_tag(self, run_id, key, value, *rest)

    monkeypatch.setattr(mlflow.MlflowClient, "set_tag", refusing)
    with pytest.raises(StoreError, match="locked"), tracking.run("r", tags={}, system_metrics=False):
        pass
    assert mlflow.get_run(given.info.run_id).info.status == "FAILED"


def test_a_notebook_stays_interruptible_after_an_interrupt(workspace, monkeypatch):
    monkeypatch.setattr(tracking.runs, "in_a_notebook", lambda: True)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), tracking.run("r", tags={}, system_metrics=False):
        raise KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.integration
def test_a_terminated_program_leaves_its_run_killed(workspace):
    code = """
import sys, time
from recstage import tracking
from recstage.cli import main
def step(arguments):
    with tracking.run("long", tags={}, system_metrics=False) as active:
        print(active.info.run_id, flush=True)
        time.sleep(60)
sys.exit(main(step, []))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=fresh_environment(workspace), stdout=subprocess.PIPE, text=True
    )
    run_id = process.stdout.readline().strip()
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)  # as `mlflow run` does: the second one must not interrupt the clean-up
    assert process.wait(30) == 130
    tracking.connect()
    assert mlflow.get_run(run_id).info.status == "KILLED"


def test_nested_runs_stay_in_the_experiment_of_their_parent(workspace):
    with (
        tracking.run("parent", tags={}, system_metrics=False) as parent,
        tracking.run("child", tags={}, nested=True) as child,
    ):
        assert child.info.experiment_id == parent.info.experiment_id
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_parameters_that_mlflow_run_wrote_before_are_left_alone(workspace):
    with tracking.run("r", tags={}, system_metrics=False) as active:
        mlflow.log_param("trials", "0.0")
        model = {"params": {"layers": [1, 2]}, "search": {"layers": {"low": 1}}, "presets": {"a": {"params": {}}}}
        tracking.log_config(active.info.run_id, {"trials": 0, "model": model})
    params = mlflow.get_run(active.info.run_id).data.params
    assert params["trials"] == "0.0"
    assert params["model.params.layers"] == "[1, 2]"
    assert not any(name.startswith(("model.search", "model.presets")) for name in params)


def test_a_run_without_per_user_values_says_so(workspace):
    with tracking.run("r", tags={}, system_metrics=False) as active:
        pass
    with pytest.raises(ConfigError, match=r"has no evaluation/per_user.parquet. Train or evaluate it again"):
        tracking.per_user_of(active.info.run_id)


def test_the_commit_is_a_tag(workspace):
    with tracking.run("r", tags={}, system_metrics=False) as active:
        pass
    assert mlflow.get_run(active.info.run_id).data.tags["git-commit"] in {
        "unknown",
        tracking.runs._git("rev-parse", "HEAD"),
    }
    assert root() == workspace


@pytest.mark.integration
def test_what_logging_needs_is_loaded_while_something_else_is_under_way():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from recstage import tracking; from recstage.steps import train\n"
            "needed = ('matplotlib.backends.backend_agg', 'mlflow.pyfunc.model')\n"
            "assert not any(name in sys.modules for name in needed)\n"
            "assert tracking.prepare_to_log() is tracking.prepare_to_log()\n"
            "tracking.prepare_to_log().join()\n"
            "assert all(name in sys.modules for name in needed)",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
