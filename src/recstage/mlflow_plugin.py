"""What `mlflow run` on this repository does where nothing else is said: which store, and which experiment.

MLflow asks such providers (an entry point of the installed package) before it opens a run. Without one, `mlflow run
/path/to/the/repository` makes a second mlflow.db in the current folder, and files its runs under Default. With an
experiment's name MLflow does not ask: the store is then named in the environment, as soon as this module is loaded,
which every `import mlflow` does. Nothing heavy of ours is imported before MLflow asks.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from mlflow.tracking.default_experiment.abstract_context import DefaultExperimentProvider

MANAGER = "--env-manager"
ARTIFACT_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"
"""MLflow's own variable for where a store without a server puts the artifacts of a new experiment."""


class ProjectExperiment(DefaultExperimentProvider):
    """The experiment `recstage` of this repository's store, for `mlflow run` on this repository."""

    def in_context(self) -> bool:
        """Whether this process is `mlflow run` on this repository. Ends it in one line where it would need conda."""
        return _runs_this_project(sys.argv)

    def get_experiment_id(self) -> str:
        """Its id. Points MLflow at the repository's store, unless the user has named another one."""
        from recstage.errors import RecstageError
        from recstage.tracking.store import EXPERIMENT, experiment

        try:
            _refuse_without_conda(sys.argv)
            return experiment(EXPERIMENT).experiment_id
        except RecstageError as error:
            print(f"recstage: {error}", file=sys.stderr)  # noqa: T201
            raise SystemExit(error.exit_code) from error  # MLflow would take Default after any other error


def _runs_this_project(words: list[str]) -> bool:
    if Path(words[0]).name != "mlflow" or "run" not in words[1:3]:
        return False
    from recstage.config import root
    from recstage.errors import ConfigError

    try:
        home = root()
    except ConfigError:
        return False
    return any(not word.startswith("-") and Path(word).resolve() == home for word in words[1:])


def _refuse_without_conda(words: list[str]) -> None:
    """Raises `ConfigError` where MLflow would make an environment with conda and there is none."""
    from recstage.errors import ConfigError

    managed = any(word.split("=")[0] == MANAGER for word in words)
    conda = os.environ.get("MLFLOW_CONDA_HOME") or shutil.which("conda") or shutil.which("mamba")
    if managed or conda:
        return
    raise ConfigError(
        "mlflow run without --env-manager",
        rule="makes an environment with conda, which is not installed here",
        fix="Add --env-manager local (the environment that is active), or --env-manager uv",
    )


def _name_the_store(words: list[str]) -> None:
    """Points `mlflow run` on this repository at its store, unless the user has named another one, or an experiment is
    asked for by the provider anyway."""
    if os.environ.get("MLFLOW_TRACKING_URI") or not _names_an_experiment(words) or not _runs_this_project(words):
        return
    from recstage.config import root
    from recstage.errors import RecstageError

    try:
        _refuse_without_conda(words)
    except RecstageError as error:
        print(f"recstage: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(error.exit_code) from error
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{root() / 'mlflow.db'}"
    os.environ.setdefault(ARTIFACT_ROOT, (root() / "mlruns").as_uri())


def _names_an_experiment(words: list[str]) -> bool:
    variables = ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID")
    named = any(word.split("=")[0] in ("--experiment-name", "--experiment-id") for word in words)
    return named or any(os.environ.get(name) for name in variables)


_name_the_store(sys.argv)
