"""`mlflow run` on the repository from any folder uses the repository's store, whatever names the experiment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from recstage import cli, mlflow_plugin, tracking
from recstage.errors import ConfigError


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


def test_without_conda_it_runs_in_the_active_environment_and_says_so(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MLFLOW_CONDA_HOME", raising=False)
    plain = ["mlflow", "run", str(workspace), "-e", "als"]
    given = list(plain)
    mlflow_plugin._use_the_active_environment(given)
    assert given == [*plain, "--env-manager=local"]
    assert "there is no conda, so this runs in " in capsys.readouterr().err
    assert os.environ["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    for untouched in (words(workspace), ["mlflow", "run", str(tmp_path)], ["mlflow", "ui"]):
        given = list(untouched)
        mlflow_plugin._use_the_active_environment(given)
        assert given == untouched
    monkeypatch.setenv("MLFLOW_CONDA_HOME", "/opt/conda")
    given = list(plain)
    mlflow_plugin._use_the_active_environment(given)
    assert given == plain


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["-e", "alss"], "-e alss: no such entry point. Did you mean 'als'?"),
        (["-e", "als", "-P", "trails=3"], "--trails: no such setting. Did you mean 'trials'?"),
        (["-e", "als", "-P", "trials=x"], "trials = 'x': Input should be a valid integer"),
        (["-e", "als", "-P", "model.params.factor=3"], "Did you mean 'model.params.factors'?"),
        (["-e", "als", "-P", "data=synthetik"], "Did you mean 'synthetic'?"),
        (["-e", "promote", "-P", "verison=3"], "--verison: no such setting. Did you mean 'version'?"),
        (["-P", "trials=-1"], "trials = '-1': Input should be greater than or equal to 0"),
    ],
)
def test_a_mistake_ends_it_before_a_run_is_opened(
    more: list[str],
    message: str,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["mlflow", "run", str(workspace), "--env-manager", "local", *more])
    provider = mlflow_plugin.ProjectExperiment()
    assert provider.in_context()
    with pytest.raises(SystemExit) as end:
        provider.get_experiment_id()
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("recstage: ")
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("given", [["--env-manager", "conda"], ["--env-manager=uv"]])
def test_an_environment_manager_that_is_not_here_is_refused_before_a_run_is_opened(
    given: list[str],
    workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MLFLOW_CONDA_HOME", raising=False)
    monkeypatch.setattr(sys, "argv", ["mlflow", "run", str(workspace), *given, "-e", "history"])
    with pytest.raises(SystemExit) as end:
        mlflow_plugin.ProjectExperiment().get_experiment_id()
    assert end.value.code == 2
    assert "Leave --env-manager out, or give local" in capsys.readouterr().err


def test_what_is_right_goes_on(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = ["-e", "als", "-P", "data=tiny.yaml", "-Ptrials=2", "-P", "model.params.factors=8"]
    monkeypatch.setattr(sys, "argv", ["mlflow", "run", str(workspace), *more])
    assert mlflow_plugin.ProjectExperiment().get_experiment_id() == tracking.experiment().experiment_id


def test_a_run_that_nothing_took_over_says_why(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tracking.connect()
    about = {"mlflow.project.entryPoint": "als"}
    made = client.create_run(tracking.experiment().experiment_id, run_name="gifted-shrew-1", tags=about)
    monkeypatch.setenv("MLFLOW_RUN_ID", made.info.run_id)

    def mistaken(arguments: object) -> None:
        raise ConfigError("trials = x", rule="is no number", fix="Give one")

    assert cli.main(mistaken, []) == 2
    found = client.get_run(made.info.run_id)
    assert found.info.run_name == "als · not done · trials = x: is no number. Give one."
    assert found.data.tags["failure"] == "ConfigError: trials = x: is no number. Give one."
    assert found.data.tags["mlflow.note.content"] == "**Not done.** trials = x: is no number. Give one."


def test_a_run_of_an_entry_point_without_one_of_its_own_has_its_name_and_result(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = tracking.connect()
    about = {"mlflow.project.entryPoint": "history"}
    untaken = client.create_run(tracking.experiment().experiment_id, run_name="gifted-shrew-1", tags=about)
    monkeypatch.setenv("MLFLOW_RUN_ID", untaken.info.run_id)
    assert cli.main(lambda arguments: {"changes": 3}, []) == 0
    found = client.get_run(untaken.info.run_id)
    assert found.info.run_name == found.data.tags["stage-of-work"] == "history"
    assert '"changes": 3' in found.data.tags["mlflow.note.content"]
    taken = client.create_run(tracking.experiment().experiment_id, run_name="als", tags={"git-commit": "abc"})
    monkeypatch.setenv("MLFLOW_RUN_ID", taken.info.run_id)
    assert cli.main(lambda arguments: {}, []) == 0
    assert client.get_run(taken.info.run_id).info.run_name == "als"
