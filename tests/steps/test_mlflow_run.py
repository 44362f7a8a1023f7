"""The entry points as their users call them: `mlflow run`, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from recstage import tracking
from recstage.config import root

pytestmark = pytest.mark.integration

HERE = Path(__file__).resolve().parents[2]


def mlflow_run(workspace, entry, *options):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment = {
        **kept,
        "MLFLOW_TRACKING_URI": f"sqlite:///{workspace / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [str(Path(sys.executable).with_name("mlflow")), "run", str(HERE), "--env-manager", "local", "-e", entry]
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return subprocess.run([*command, *options], env=environment, capture_output=True, text=True, cwd=workspace)


def test_an_entry_point_trains_with_an_override_and_ends_with_one_json_line(tiny, workspace):
    done = mlflow_run(
        workspace, "als", "-P", f"data={tiny}", "-P", "register=true", "-P", "model.params.factors=6",
        "-P", "model.params.iterations=2", "-P", "evaluation.latency_requests=5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["version"] == 1
    tracking.connect()
    run = mlflow.get_run(result["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["model.params.factors"] == "6"
    assert run.data.tags["mlflow.project.entryPoint"] == "als"
    assert run.data.tags["model"] == "als"


@pytest.mark.parametrize(
    ("entry", "options", "words"),
    [
        (
            "als",
            ["-P", "model.params.factrs=6"],
            "--model.params.factrs: no such setting. Did you mean 'model.params.factors'",
        ),
        ("rollback", ["-P", "to=99"], "recommender"),
    ],
)
def test_wrong_input_is_one_line_without_a_traceback_and_a_failed_run_that_says_why(
    workspace, tiny, entry, options, words
):
    # the plugin would end it before a run is opened, but the project is not the repository of this workspace
    done = mlflow_run(workspace, entry, *options, *(["-P", f"data={tiny}"] if entry == "als" else []))
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("recstage: ")]
    assert len(lines) == 1
    assert words in lines[0]
    assert "Traceback" not in done.stderr
    client = tracking.connect()
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert run.info.status == "FAILED"
    assert run.info.run_name.startswith(f"{entry} · not done · ")
    assert words in run.data.tags["failure"]


@pytest.mark.parametrize(
    ("script", "arguments", "status", "words"),
    [
        ("train", ["--model", "alz"], 2, "model 'alz': conf/model has no such file"),
        ("train", ["--model", "als", "--data", "/no/such/place"], 2, "/no/such/place"),
        ("promote", ["--version", "7"], 2, "recommender"),
        ("history", [], 2, "recommender"),
        ("benchmark", ["--against", '["chess"]'], 2, "comparison 'chess': there is no such comparison"),
    ],
)
def test_a_script_ends_with_its_status_and_one_clear_line(workspace, script, arguments, status, words):
    done = subprocess.run(
        [sys.executable, HERE / "experiments" / f"{script}.py", *arguments],
        capture_output=True,
        text=True,
        cwd=workspace,
    )
    assert done.returncode == status, done.stderr[-2000:]
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("recstage: ")]
    assert words in line
    assert "Traceback" not in done.stderr
    assert root() == workspace
