"""`mlflow run` on the repository from any folder uses the repository's store, whatever names the experiment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recstage import mlflow_plugin


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", mlflow_plugin.ARTIFACT_ROOT):
        monkeypatch.setenv(name, "")  # which is undone, even where the code sets it
        monkeypatch.delenv(name)


def words(home: Path, *more: str) -> list[str]:
    return ["/usr/bin/mlflow", "run", str(home), "--env-manager", "local", "-e", "als", *more]


@pytest.mark.parametrize("more", [["--experiment-name", "mine"], ["--experiment-name=mine"], ["--experiment-id", "1"]])
def test_an_experiment_that_is_named_is_one_of_the_repository(workspace: Path, more: list[str]) -> None:
    mlflow_plugin._name_the_store(words(workspace, *more))
    assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{workspace / 'mlflow.db'}"
    assert os.environ[mlflow_plugin.ARTIFACT_ROOT] == (workspace / "mlruns").as_uri()


def test_one_that_the_environment_names_as_well(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    mlflow_plugin._name_the_store(words(workspace))
    assert os.environ["MLFLOW_TRACKING_URI"].endswith("mlflow.db")


def test_other_projects_and_stores_are_left_alone(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow_plugin._name_the_store(words(tmp_path, "--experiment-name", "mine"))
    mlflow_plugin._name_the_store(["/usr/bin/python", "run", str(workspace), "--experiment-name", "mine"])
    assert "MLFLOW_TRACKING_URI" not in os.environ
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    mlflow_plugin._name_the_store(words(workspace, "--experiment-name", "mine"))
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:9"


def test_without_conda_it_ends_in_one_line(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("MLFLOW_CONDA_HOME", raising=False)
    with pytest.raises(SystemExit) as end:
        mlflow_plugin._name_the_store(["mlflow", "run", str(workspace), "--experiment-name", "mine"])
    assert end.value.code == 2
    assert "Add --env-manager local" in capsys.readouterr().err
