"""Make a training run's model a version of a registered model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recstage import registry, tracking
from recstage.config import resolve
from recstage.config.steps import RegisterSettings


@dataclass(frozen=True)
class RegisterResult:
    """The version; the one there was, where the model is registered already."""

    name: str
    version: int
    algorithm: str
    run_id: str


def settings_from(arguments: Sequence[str] = ()) -> RegisterSettings:
    """Settings from the command line."""
    return resolve(RegisterSettings, {}, arguments, program="register")


def run(settings: RegisterSettings) -> RegisterResult:
    """Raises `RegistryError` where there is no such run or model."""
    tracking.connect()
    version = registry.register(settings.run, settings.name)
    return RegisterResult(version.name, version.number, version.algorithm, version.run_id)
