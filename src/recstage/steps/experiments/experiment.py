"""Begin, change or end the experiment of the version in Staging: tags that a running service follows within seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recstage import registry, tracking
from recstage.config import resolve
from recstage.config.steps import ExperimentSettings
from recstage.errors import RegistryError
from recstage.experiments.assignment import MODE, NAME, SHARE, experiment_of
from recstage.registry import mlflow_client


@dataclass(frozen=True)
class ExperimentResult:
    """The experiment as the service follows it."""

    name: str
    experiment: str
    production: int
    challenger: int
    share: float
    mode: str


def settings_from(arguments: Sequence[str] = ()) -> ExperimentSettings:
    """Settings from the command line."""
    return resolve(ExperimentSettings, {}, arguments, program="experiment")


def run(settings: ExperimentSettings) -> ExperimentResult:
    """Raises `NoProduction` and `RegistryError` where one of the two versions is missing."""
    tracking.connect()
    production = registry.production(settings.name)
    challenger = registry.reconcile_staging(settings.name).version
    if challenger is None:
        raise RegistryError(
            f"Staging of {settings.name}",
            rule="no version is staged Staging, and an experiment compares it with Production",
            fix="Stage a challenger: recstage retrain, or stage Staging in the MLflow UI",
        )
    tags = {SHARE: f"{settings.share:g}", MODE: settings.mode, NAME: settings.label}
    found = experiment_of(tags, settings.name, str(production.number), str(challenger.number))
    mlflow_client.tag_version(settings.name, challenger.number, tags)
    return ExperimentResult(settings.name, found.name, production.number, challenger.number, found.share, found.mode)
