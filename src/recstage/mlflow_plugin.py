"""What `mlflow run` on this repository does where nothing else is said: which store, which experiment, which
environment; and what a wrong word on its command line leads to.

MLflow asks such providers (an entry point of the installed package) before it opens a run. Without one, `mlflow run
/path/to/the/repository` makes a second mlflow.db in the current folder, files its runs under Default, wants conda, and
opens a run before the parameters are read: a typo costs a dozen seconds and leaves a FAILED run.

With an experiment's name MLflow does not ask: the store is then named in the environment, as soon as this module is
loaded, which every `import mlflow` does. Nothing heavy of ours is imported before MLflow asks.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from contextlib import chdir
from importlib import import_module
from itertools import pairwise
from pathlib import Path

from mlflow.tracking.default_experiment.abstract_context import DefaultExperimentProvider

MANAGER = "--env-manager"
LOCAL = f"{MANAGER}=local"
MANAGERS = {"conda": ("conda", "mamba"), "virtualenv": ("virtualenv",), "uv": ("uv",)}
"""The programs of which each needs one."""
ARTIFACT_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"
"""MLflow's own variable for where a store without a server puts the artifacts of a new experiment."""


class ProjectExperiment(DefaultExperimentProvider):
    """The experiment `recstage` of this repository's store, for `mlflow run` on this repository."""

    def in_context(self) -> bool:
        """Whether this process is `mlflow run` on this repository."""
        return _runs_this_project(sys.argv)

    def get_experiment_id(self) -> str:
        """Its id. Points MLflow at the repository's store, unless the user has named another one. Ends the process in
        one line where the entry point would refuse its parameters: no run is opened then."""
        from recstage.errors import RecstageError
        from recstage.tracking.store import EXPERIMENT, experiment

        try:
            check_environment(sys.argv)
            check_parameters(sys.argv)
            return experiment(EXPERIMENT).experiment_id
        except RecstageError as error:
            print(f"recstage: {error}", file=sys.stderr)  # noqa: T201
            raise SystemExit(error.exit_code) from error  # MLflow would take Default after any other error


def check_environment(words: list[str]) -> None:
    """Raises `ConfigError` where `--env-manager` names one that is not installed: MLflow would open a run first, and
    leave it RUNNING."""
    from recstage.errors import ConfigError

    given = [word.partition("=")[2] or following for word, following in pairwise([*words, ""]) if MANAGER in word]
    manager = given[-1] if given else ""
    needed = MANAGERS.get(manager)
    at_home = manager == "conda" and os.environ.get("MLFLOW_CONDA_HOME")
    if needed and not at_home and not any(shutil.which(program) for program in needed):
        raise ConfigError(
            f"{MANAGER} {manager}", rule=f"there is no {needed[0]} here", fix=f"Leave {MANAGER} out, or give local"
        )


def check_parameters(words: list[str]) -> None:
    """Raises what the entry point would raise of its parameters, as it resolves them, and `ConfigError` where there is
    no such entry point."""
    from recstage.config import names_in, root
    from recstage.errors import ConfigError, RecstageError, valid_names
    from recstage.mlproject import MODULES, STEPS

    entry, given = _entry_and_parameters(words)
    models = names_in("model")
    if entry not in (*STEPS, *models):
        if entry.endswith((".py", ".sh")):  # MLflow runs scripts, too
            return
        raise ConfigError(f"-e {entry}", rule="no such entry point", fix=valid_names(entry, [*STEPS, *models]))
    options = [word for name, value in given for word in (f"--{name}", value)]
    try:
        with chdir(root()):  # where the entry point will look for relative paths
            if entry in models:
                from recstage.cli import named
                from recstage.steps.train_settings import settings_from

                names, rest = named(options, data="synthetic")
                settings_from(entry, names["data"], rest)
            elif entry in MODULES:
                import_module(f"recstage.steps.{MODULES[entry]}").settings_from(options)
    except RecstageError:
        raise
    except Exception:  # noqa: BLE001, S110  # a fault of ours shows, with its traceback, in the entry point itself
        pass


def _entry_and_parameters(words: list[str]) -> tuple[str, list[tuple[str, str]]]:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-e", "--entry-point", default="main")
    parser.add_argument("-P", "--param-list", action="append", default=[])
    try:
        found, _ = parser.parse_known_args(words[words.index("run") + 1 :])
    except argparse.ArgumentError:  # MLflow says what is wrong
        return "main", []
    pairs = [pair.partition("=") for pair in found.param_list]
    return found.entry_point, [(name, value) for name, equals, value in pairs if equals]


def _runs_this_project(words: list[str]) -> bool:
    program = Path(words[0])
    if program.name != "mlflow" and program.parts[-2:] != ("mlflow", "__main__.py"):
        return False
    if "run" not in words[1:3]:
        return False
    from recstage.config import root
    from recstage.errors import ConfigError

    try:
        home = root()
    except ConfigError:
        return False
    return any(not word.startswith("-") and Path(word).resolve() == home for word in words[1:])


def _use_the_active_environment(words: list[str]) -> None:
    """Adds `--env-manager=local` to the words of `mlflow run` on this repository where they name none and MLflow would
    make an environment with conda, which is not there; the entry point is then run by this Python."""
    if any(word.split("=")[0] == MANAGER for word in words) or not _runs_this_project(words):
        return
    if os.environ.get("MLFLOW_CONDA_HOME") or any(shutil.which(program) for program in MANAGERS["conda"]):
        return
    words.append(LOCAL)
    here = str(Path(sys.executable).parent)
    if shutil.which("python") != str(Path(here) / "python"):
        os.environ["PATH"] = os.pathsep.join(part for part in (here, os.environ.get("PATH", "")) if part)
    print(f"recstage: there is no conda, so this runs in {sys.prefix} ({LOCAL})", file=sys.stderr)  # noqa: T201


def _name_the_store(words: list[str]) -> None:
    """Points `mlflow run` on this repository at its store, unless the user has named another one, or an experiment is
    asked for by the provider anyway."""
    if os.environ.get("MLFLOW_TRACKING_URI") or not _names_an_experiment(words) or not _runs_this_project(words):
        return
    from recstage.config import root

    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{root() / 'mlflow.db'}"
    os.environ.setdefault(ARTIFACT_ROOT, (root() / "mlruns").as_uri())


def _names_an_experiment(words: list[str]) -> bool:
    variables = ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID")
    named = any(word.split("=")[0] in ("--experiment-name", "--experiment-id") for word in words)
    return named or any(os.environ.get(name) for name in variables)


_use_the_active_environment(sys.argv)
_name_the_store(sys.argv)
