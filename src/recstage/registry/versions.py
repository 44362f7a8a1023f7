"""Registered versions: made from runs, listed, found, fetched."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from recstage import bundle
from recstage.errors import RecstageError, RegistryError, StoreError
from recstage.models.base import Recommender
from recstage.registry import descriptions, mlflow_client
from recstage.registry.mlflow_client import PRODUCTION, STAGING, Version
from recstage.registry.production import no_such_version, production
from recstage.registry.staging import staging
from recstage.tracking import MODEL_ARTIFACT, NOTE, RANKED_BY_TAG, misplaced, no_space_left, plain

COPIED_TAGS = {"algorithm": "model", "data": "data", "split": "split", "fingerprint": "fingerprint"}
"""Tags of a version and the run's tags that they are copied from."""
UPDATED_FROM = "updated_from"
"""Tag of a version that an update made of another one: NAME/NUMBER."""
ALSO_COPIED = (
    *("snapshot", "snapshot-until", "git-commit", RANKED_BY_TAG),
    *(UPDATED_FROM, "updated_rows", "updated_users", "updated_items"),
)
"""Tags that are copied where the run has them."""
KEY_FIGURES = (
    "ndcg_at_10",
    "ndcg_at_10_low",
    "ndcg_at_10_high",
    "hit_rate_at_10",
    "recall_at_20",
    "coverage_at_10",
    "sampled_ndcg_at_10",
    "sampled_hit_rate_at_10",
    "latency_p95_ms",
    "bundle_bytes",
    "index_recall",
    "mean_average_precision",
    "macro_f1",
    "micro_f1",
    "calibration_error",
)


def register(run_id_or_uri: str, name: str = "recommender") -> Version:
    """Register the model of a run (its id, `runs:/RUN/model` or `models:/m-...`) as a new version of `name`.

    The version carries the run's algorithm, data, split, fingerprint and key figures as tags. A model that is
    registered under that name already is not registered twice: its version is returned. Raises `RegistryError` where
    there is no such run or model, where the run failed, or where it is no training run of recstage.
    """
    mlflow_client.client()
    with mlflow_client.translate_errors(name):
        uri, run = _model_of(run_id_or_uri)
    if run.info.status in ("FAILED", "KILLED"):
        raise RegistryError(
            f"run {run.info.run_id}",
            rule=f"a run that ended {run.info.status} has no model to register",
            fix="Train again",
        )
    tags = _tags_of(run)
    with mlflow_client.lock(name):
        known = mlflow_client.read(name) if mlflow_client.exists(name) else None
        for version in () if known is None else known.versions.values():
            if version.tags.get("model_uri") == uri:
                return version
        with mlflow_client.translate_errors(name), contextlib.redirect_stderr(io.StringIO()):  # MLflow chats there
            made = mlflow.register_model(uri, name, tags={**tags, "model_uri": uri})
        new = mlflow_client.read(name).versions[int(made.version)]
        descriptions.begin(new, run.data.tags.get(NOTE, ""))
    descriptions.refresh(name)
    return version_of(name, int(made.version))


def versions(name: str = "recommender") -> list[Version]:
    """All versions, the newest first. Raises `RegistryError` where the registered model does not exist."""
    return sorted(mlflow_client.read(name).versions.values(), key=lambda one: -one.number)


def version_of(name: str, number: int | str) -> Version:
    """One version by number, or the one in Production or Staging by that word. Raises `RegistryError` naming those that
    exist, and `NoProduction`."""
    if number == PRODUCTION:
        return production(name)
    if number == STAGING:
        waiting = staging(name)
        if waiting is None:
            raise RegistryError(
                f"registered model '{name}'",
                rule="no version is staged Staging",
                fix="Stage one: recstage retrain",
            )
        return waiting
    model_state = mlflow_client.read(name)
    try:
        return model_state.versions[int(number)]
    except (KeyError, ValueError):
        raise no_such_version(name, number, model_state) from None


def fetch(version: Version, folder: Path | None = None) -> Path:
    """The bundle of a version as a local folder: a copy below `folder`, or, without one, wherever the artifacts are if
    they are on this machine's disk (then nothing is copied). Raises `RegistryError` where the artifacts are gone and
    `StoreError` where their store does not answer, or the copy has no room."""
    try:
        with mlflow_client.translate_errors(version.name):
            return _downloaded(version, folder)
    except (OSError, RegistryError, StoreError) as error:
        if no_space_left(error.__cause__ or error):
            raise
        fix = "See that the artifact store answers, or promote another version"
        if misplaced():
            fix = "Correct the places of artifacts: recstage doctor --fix"
        kind = StoreError if isinstance(error, StoreError) else RegistryError
        raise kind(
            str(version), rule=f"its bundle cannot be fetched from the artifact store ({_reason(error)})", fix=fix
        ) from error


def load_logged(uri: str) -> Recommender:
    """The recommender of a logged model (`models:/m-...`), registered or not."""
    mlflow_client.client()
    with mlflow_client.translate_errors(uri):
        return bundle.load(Path(mlflow.artifacts.download_artifacts(uri)) / "artifacts" / "bundle").model


def _reason(error: Exception) -> str:
    """Why, in one short line."""
    said = error.rule if isinstance(error, RecstageError) else str(getattr(error, "strerror", None) or error)
    return " ".join(said.split())[:200] or type(error).__name__


def _downloaded(version: Version, folder: Path | None) -> Path:
    where = f"{version.uri}/artifacts/bundle"
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        copy = None if folder is None else tempfile.mkdtemp(dir=folder)
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=where, dst_path=copy))
    except Exception as error:
        if no_space_left(error):
            raise StoreError(
                "the copy of its bundle", rule="the disk is full", fix="Free some space and try again"
            ) from error
        raise


def _model_of(given: str) -> tuple[str, Run]:
    client = mlflow_client.client()
    if given.startswith("models:/"):
        model_id = given.removeprefix("models:/")
        try:
            model = client.get_logged_model(model_id)
        except MlflowException as error:
            raise _unknown(given, "there is no such logged model") from error
        return given, _run(model.source_run_id or "", given)
    run_id, _, artifact = given.removeprefix("runs:/").partition("/")
    run = _run(run_id, given)
    logged = [] if run.outputs is None else run.outputs.model_outputs
    found = [client.get_logged_model(one.model_id) for one in sorted(logged, key=lambda one: one.step)]
    named = [model for model in found if model.name == artifact]
    if not named and artifact in ("", MODEL_ARTIFACT):  # a model is named for its run; `model` means the run's last one
        named = found
    if not named:
        raise _unknown(given, f"the run has logged no model named '{artifact or MODEL_ARTIFACT}'")
    return f"models:/{named[-1].model_id}", run


def _run(run_id: str, given: str) -> Run:
    try:
        return mlflow_client.client().get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise _unknown(given, "there is no such run") from error
        raise


def _unknown(given: str, rule: str) -> RegistryError:
    return RegistryError(
        f"'{given}'", rule=rule, fix="Give the id of a training run, or a model URI as the run's last line prints it"
    )


def _tags_of(run: Run) -> dict[str, str]:
    missing = [source for source in COPIED_TAGS.values() if source not in run.data.tags]
    if missing:
        raise RegistryError(
            f"run {run.info.run_id}",
            rule=f"a training run has the tags {', '.join(COPIED_TAGS.values())}, this one lacks {', '.join(missing)}",
            fix="Register the run of a training entry point",
        )
    also = {name: run.data.tags[name] for name in ALSO_COPIED if name in run.data.tags}
    figures = figures_of(plain(run.data.metrics))
    return {ours: run.data.tags[theirs] for ours, theirs in COPIED_TAGS.items()} | also | figures


def figures_of(metrics: Mapping[str, float]) -> dict[str, str]:
    """The key figures as texts."""
    return {key: f"{metrics[key]:.6g}" for key in KEY_FIGURES if key in metrics}


def figures(version: Version) -> dict[str, float]:
    """The key figures that a version carries."""
    return {key: float(version.tags[key]) for key in KEY_FIGURES if key in version.tags}
