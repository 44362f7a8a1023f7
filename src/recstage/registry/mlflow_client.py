"""The only module that calls MLflow's model registry: plain values in, plain values out, errors of ours.

Stages are deprecated in MLflow and still decide what is Production (docs/decisions/0006): the one call that sets a
stage, and the one warning that it raises, are here.
"""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import mlflow
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from recstage.errors import RegistryError, StoreError, valid_names
from recstage.tracking import connect, store_uri, translate_store_errors

PRODUCTION = "Production"
STAGING = "Staging"
ARCHIVED = "Archived"
NONE = "None"
ALIAS = "production"
STAGING_ALIAS = "staging"
LONGEST_TAG = 5000
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Version:
    """One version of a registered model. Times are milliseconds since 1970."""

    name: str
    number: int
    stage: str
    run_id: str
    source: str
    created_at: int
    updated_at: int
    tags: Mapping[str, str] = field(default_factory=dict, repr=False)
    description: str = field(default="", repr=False)

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.number}"

    @property
    def algorithm(self) -> str:
        return self.tags.get("algorithm", "unknown")

    @property
    def group(self) -> tuple[str, str, str]:
        """Data, split and fingerprint: only versions that share all three can be compared by their logged metrics."""
        return tuple(self.tags.get(key, "") for key in ("data", "split", "fingerprint"))  # type: ignore[return-value]

    def __str__(self) -> str:
        return f"version {self.number} of {self.name} ({self.algorithm})"


@dataclass(frozen=True)
class RegisteredModelState:
    """A registered model at one moment. `versions`: all of them by number (from `peek`: the newest of each stage)."""

    name: str
    updated_at: int
    aliases: Mapping[str, int]
    tags: Mapping[str, str]
    versions: Mapping[int, Version]
    description: str = ""

    @property
    def alias(self) -> int | None:
        return self.aliases.get(ALIAS)

    @property
    def staged(self) -> set[int]:
        return self.in_stage(PRODUCTION)

    def in_stage(self, stage: str) -> set[int]:
        """The versions in a stage."""
        return {number for number, version in self.versions.items() if version.stage == stage}


# -- reading ----------------------------------------------------------------------------------------------------------


def peek(name: str) -> RegisteredModelState:
    """The registered model in one cheap call: tags, alias, and the highest version of each stage."""
    with translate_errors(name):
        model = client().get_registered_model(name)
    return _model_state(model, model.latest_versions)


def read(name: str) -> RegisteredModelState:
    """The registered model with all its versions. The model is read first: what changes between the two calls has a
    newer `updated_at` than the state, and so is seen by the next read."""
    with translate_errors(name):
        model = client().get_registered_model(name)
        found: list[ModelVersion] = []
        token = None
        while True:
            page = client().search_model_versions(f"name = '{name}'", max_results=1000, page_token=token)
            found += page
            token = page.token
            if not token:
                return _model_state(model, found)


def one(name: str, number: int) -> Version | None:
    """A version by itself; None where there is none."""
    with translate_errors(name):
        try:
            return _version(client().get_model_version(name, str(number)))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise


def names() -> list[str]:
    """All registered models."""
    with translate_errors("the registry"):
        return sorted(model.name for model in client().search_registered_models(max_results=1000))


def exists(name: str) -> bool:
    return name in names()


# -- writing ----------------------------------------------------------------------------------------------------------


def stage(name: str, number: int, to: str = PRODUCTION) -> int:
    """Move a version to a stage and archive whatever is there, in one transaction. Returns the time of it."""
    with translate_errors(name), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*transition_model_version_stage.*", category=FutureWarning)
        archive = to in (PRODUCTION, STAGING)
        moved = client().transition_model_version_stage(name, str(number), to, archive_existing_versions=archive)
    return int(moved.last_updated_timestamp)


def point_alias(name: str, number: int | None, alias: str = ALIAS) -> None:
    """Let an alias name a version, or remove it."""
    with translate_errors(name):
        if number is None:
            client().delete_registered_model_alias(name, alias)
        else:
            client().set_registered_model_alias(name, alias, str(number))


def tag_model(name: str, key: str, value: str | None) -> None:
    """Set a tag of the registered model, or remove it."""
    with translate_errors(name):
        if value is None:
            client().delete_registered_model_tag(name, key)
        else:
            client().set_registered_model_tag(name, key, value[:LONGEST_TAG])


def tag_version(name: str, number: int, tags: Mapping[str, str]) -> None:
    """Set tags of a version."""
    with translate_errors(name):
        for key, value in tags.items():
            client().set_model_version_tag(name, str(number), key, value[:LONGEST_TAG])


def describe_model(name: str, text: str) -> None:
    """Set the description of the registered model."""
    with translate_errors(name):
        client().update_registered_model(name, text)


def describe_version(name: str, number: int, text: str) -> None:
    """Set the description of a version."""
    with translate_errors(name):
        client().update_model_version(name, str(number), text)


def delete(name: str, number: int) -> None:
    """Delete a version; its run and artifacts stay."""
    with translate_errors(name):
        client().delete_model_version(name, str(number))


# -- connecting -------------------------------------------------------------------------------------------------------


def client() -> MlflowClient:
    """One client a store: `connect` checks for a fresh database each time, which a poll every second need not."""
    uri = store_uri()
    if mlflow.get_tracking_uri() != uri:
        mlflow.set_tracking_uri(uri)
    return _client(uri)


@cache
def _client(uri: str) -> MlflowClient:
    return connect()


@contextmanager
def lock(name: str) -> Iterator[None]:
    """One change of a registered model at a time among the processes of this machine. Between machines nothing locks:
    there, reconciling afterwards leaves one Production. Raises `StoreError` when it is held for too long."""
    path = _lock_file(store_uri(), name)
    try:
        with FileLock(path, timeout=PATIENCE_SECONDS):
            yield
    except Timeout as error:
        raise StoreError(
            f"registered model '{name}'",
            rule=f"another process has been changing it for {PATIENCE_SECONDS:.0f} seconds",
            fix="Wait for it to finish, or end it",
        ) from error
    except PermissionError as error:
        raise StoreError(str(path), rule="the registry's lock file is not writable", fix="Change its owner") from error


@contextmanager
def work_lock(name: str, what: str) -> Iterator[None]:
    """One long piece of work (`what`) on a registered model at a time on this machine, without waiting. Raises
    `StoreError` where another process is at it."""
    path = _lock_file(store_uri(), f"{name} {what}")
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout as error:
        raise StoreError(
            f"{what} of {name}", rule="another process is at it", fix="Wait for it to end; it holds " + str(path)
        ) from error
    except PermissionError as error:
        raise StoreError(str(path), rule="the lock file is not writable", fix="Change its owner") from error


def _lock_file(uri: str, name: str) -> Path:
    if uri.startswith("sqlite:///"):  # in the folder of the database, however its path is spelt
        database = Path(uri.removeprefix("sqlite:///")).resolve()
        return database.with_name(f"{database.name}.{_short(name)}.lock")
    return Path(tempfile.gettempdir()) / f"recstage-registry-{_short(f'{uri} {name}')}.lock"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Turn MLflow's errors into those of recstage."""
    try:
        with translate_store_errors(store_uri()):
            yield
    except MlflowException as error:
        raise _translated(name, error) from error


def _translated(name: str, error: MlflowException) -> RegistryError | StoreError:
    message = str(error.message).splitlines()[0][:300]
    if error.error_code == "RESOURCE_DOES_NOT_EXIST" and "Registered Model" in message:
        known = names()
        fix = valid_names(name, known) if known else "Nothing is registered yet: train a model with register=true"
        return RegistryError(f"registered model '{name}'", rule="there is no such registered model", fix=fix)
    if error.error_code == "RESOURCE_DOES_NOT_EXIST":
        return RegistryError(f"registered model '{name}'", rule=message.rstrip("."), fix="Name an existing version")
    if error.error_code in ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR"):
        return StoreError(
            store_uri(), rule=f"the registry does not answer ({message})", fix="Try again when it is back"
        )
    return RegistryError(f"registered model '{name}'", rule=message.rstrip("."), fix="Correct the request")


def _model_state(model: RegisteredModel, found: list[ModelVersion]) -> RegisteredModelState:
    return RegisteredModelState(
        name=model.name,
        updated_at=int(model.last_updated_timestamp or 0),
        aliases={alias: int(number) for alias, number in model.aliases.items()},
        tags=dict(model.tags),
        versions={version.number: version for version in sorted(map(_version, found), key=lambda one: one.number)},
        description=model.description or "",
    )


def _version(found: ModelVersion) -> Version:
    # the number is an int from SQLite and a str over REST
    return Version(
        name=found.name,
        number=int(found.version),
        stage=found.current_stage or NONE,
        run_id=found.run_id or "",
        source=found.source or "",
        created_at=int(found.creation_timestamp or 0),
        updated_at=int(found.last_updated_timestamp or 0),
        tags=dict(found.tags),
        description=found.description or "",
    )
