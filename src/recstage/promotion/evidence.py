"""What is known of registered versions and training runs: the figures that `gate` judges and `compare` shows.

Figures of two models may be set side by side only where both were tested on the same rows, that is, where data, split
and fingerprint agree. Where they do not, `remeasured` tests one model on the other's rows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import yaml
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from recstage import bundle, tracking
from recstage.config import DataConfig, EvaluationConfig, GuardrailConfig, check, root
from recstage.data import dataset
from recstage.data.cache import Folder
from recstage.data.dataset import Dataset
from recstage.data.interactions import IdMap, Interactions
from recstage.errors import ConfigError, DataError, RecstageError, RegistryError
from recstage.evaluation.latency import Latency, side_by_side
from recstage.evaluation.protocol import evaluate
from recstage.models.base import POPULARITY, Recommender
from recstage.promotion.gate import Evidence
from recstage.registry import mlflow_client
from recstage.registry.mlflow_client import Version
from recstage.registry.versions import fetch, versions

WORKS = ("train", "benchmark")
CONFIG = "config.yaml"
NAME_PARAMETER = "model.registered_name"
log = logging.getLogger(__name__)
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def of_version(version: Version) -> Evidence:
    """The figures that a version's run logged. Raises `RegistryError` where the run or its figures are gone."""
    label = f"version {version.number} ({version.algorithm})"
    try:
        return _evidence(mlflow_client.client().get_run(version.run_id), label, version.algorithm)
    except ConfigError as error:
        raise _gone(version, "has no per-user figures") from error
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        raise _gone(version, "is gone") from error


def of_run(run: Run) -> Evidence:
    """The figures of a training run. Raises `ConfigError` where it has no per-user figures."""
    algorithm = run.data.tags.get("model", "unknown")
    return _evidence(run, f"run {run.info.run_id[:8]} ({algorithm})", algorithm)


def metric_of(version: Version, metric: str) -> float | None:
    """A metric that a version's run logged; None where it did not, or is gone."""
    try:
        run = mlflow_client.client().get_run(version.run_id)
    except MlflowException as error:
        if error.error_code in ABSENT:
            return None
        raise
    value = run.data.metrics.get(metric)
    return tracking.metrics_of(run).get(metric) if value is None else value


def metrics_of(version: Version) -> dict[str, float]:
    """All metrics that a version's run logged; none where the run is gone."""
    try:
        return dict(mlflow_client.client().get_run(version.run_id).data.metrics)
    except MlflowException as error:
        if error.error_code in ABSENT:
            return {}
        raise


def runs_of(group: tuple[str, str, str], name: str) -> list[Run]:
    """Finished training and benchmark runs on the same data, split and fingerprint whose model is one of `name`, the
    newest first."""
    client = mlflow_client.client()
    tags = dict(zip(("data", "split", "fingerprint"), group, strict=True))
    wanted = " and ".join(f"tags.{key} = {_quoted(value)}" for key, value in tags.items())
    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment.experiment_id for experiment in client.search_experiments()],
            f"{wanted} and attributes.status = 'FINISHED'",
            max_results=1000,
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        found += [run for run in page if _is_of(run, name)]
        token = page.token
        if not token:
            return found


def popularity_like(version: Version) -> Evidence | None:
    """Popularity on the test rows of `version`, the newest that was measured; None where it never was."""
    for candidate in _popular(version):
        try:
            return of_version(candidate) if isinstance(candidate, Version) else of_run(candidate)
        except (RegistryError, ConfigError):
            continue
    return None


def remeasured(version: Version, like: Version, *, least: int) -> Evidence:
    """What `version` does on the test rows of `like`, which it was not tested on.

    Users with a test row among its training rows are left out: it would have to leave those items out of their lists,
    and so could not find them. Raises `RecstageError` in one line where the data set is gone or has changed, the bundle
    is broken, or fewer than `least` users remain.
    """
    _, evaluation, seed = _configuration(like)
    data = dataset_of(like)
    model = bundle.load(fetch(version)).model
    test = (data.split.transposed() if model.reverse else data.split).test
    quick = evaluation.model_copy(update={"latency_requests": 0})
    result = evaluate(model, test, config=quick, seed=seed)
    spoilt = _users_with_known_test_rows(model, test)
    fair = result.per_user[~result.per_user["user_id"].isin(spoilt)]
    if len(fair) < least:
        raise _too_few(version, like, tested=len(result.per_user), spoilt=len(spoilt), least=least)
    label = f"version {version.number} ({version.algorithm}), measured again on {like.tags.get('data')}"
    return Evidence(label, version.algorithm, result.metrics, fair.reset_index(drop=True))


def latencies(
    challenger: Version, champion: Version | None, user_ids: Sequence[str], limits: GuardrailConfig
) -> tuple[Latency | None, Latency | None]:
    """How long a list of both takes here and now, timed in turn on the same users; None where it is not measured.

    A Production whose bundle cannot be loaded is left out, for it must be possible to replace it. Raises
    `RegistryError` or `BundleError` where the challenger's cannot.
    """
    if not limits.latency_requests:
        return None, None
    models = [bundle.load(fetch(challenger)).model]
    if champion is not None:
        try:
            models.append(bundle.load(fetch(champion)).model)
        except RecstageError as error:
            log.warning("latency is judged without %s: %s", champion, error)
    found = side_by_side(models, user_ids, requests=limits.latency_requests, rounds=limits.latency_rounds)
    return found[0], found[1] if len(found) > 1 else None


def common_share(version: Version, other: Version) -> tuple[float, float]:
    """How much two versions were trained on in common: users, items, each as a share of the smaller number of both.
    Raises `RecstageError` where a bundle cannot be read."""
    (users, items), (their_users, their_items) = (bundle.ids_of(fetch(one)) for one in (version, other))
    return _common(users, their_users), _common(items, their_items)


def _common(ours: IdMap, theirs: IdMap) -> float:
    least = min(len(ours), len(theirs))
    return float((ours.index_of(theirs.ids) >= 0).sum()) / least if least else 0.0


def _too_few(version: Version, like: Version, *, tested: int, spoilt: int, least: int) -> DataError:
    given = f"{version} on the test rows of {like.tags.get('data')}"
    if not spoilt:
        return DataError(
            given,
            rule=f"{tested} users are tested there, {least} are needed to compare",
            fix="Train on more data, lower promotion.guardrails.segment_users, or force the promotion",
        )
    return DataError(
        given,
        rule=f"it was trained on test rows of {spoilt} of {tested} users: {tested - spoilt} are left to compare, "
        f"{least} are needed",
        fix="Train it again on the same data, or force the promotion",
    )


def _evidence(run: Run, label: str, algorithm: str) -> Evidence:
    return Evidence(label, algorithm, tracking.metrics_of(run), tracking.per_user_of(run.info.run_id))


def _quoted(value: str) -> str:
    return f'"{value}"' if "'" in value else f"'{value}'"


def _gone(version: Version, what: str) -> RegistryError:
    return RegistryError(str(version), rule=f"its run {version.run_id or '(none)'} {what}", fix="Train it again")


def _is_of(run: Run, name: str) -> bool:
    # data, split and fingerprint are the same for a model that goes from items to users; its test rows are not
    return run.data.tags.get("stage-of-work") in WORKS and run.data.params.get(NAME_PARAMETER, "recommender") == name


def _popular(like: Version) -> Iterator[Version | Run]:
    for version in versions(like.name):
        if version.algorithm == POPULARITY and version.group == like.group:
            yield version
    for run in runs_of(like.group, like.name):
        if run.data.tags.get("model") == POPULARITY:
            yield run


def params_of(version: Version) -> dict[str, Any]:
    """The hyperparameters that a version was fitted with. Raises `RegistryError` where its run does not say."""
    values = _config_of(version)
    try:
        return dict(values["model"]["params"])
    except (KeyError, TypeError) as error:
        raise RegistryError(
            str(version), rule=f"its run's {CONFIG} names no parameters", fix="Train it again"
        ) from error


def _config_of(version: Version) -> dict[str, Any]:
    try:
        path = mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path=CONFIG)
        values = yaml.safe_load(Path(path).read_text())
    except (MlflowException, OSError, yaml.YAMLError) as error:
        raise RegistryError(str(version), rule=f"its run has no readable {CONFIG}", fix="Train it again") from error
    return values if isinstance(values, dict) else {}


def _configuration(version: Version) -> tuple[DataConfig, EvaluationConfig, int]:
    try:
        path = mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path=CONFIG)
        values = yaml.safe_load(Path(path).read_text())
        return (
            check(DataConfig, values["data"], f"{version}: data"),
            check(EvaluationConfig, values["evaluation"], f"{version}: evaluation"),
            int(values["seed"]),
        )
    except (MlflowException, OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise RegistryError(
            str(version), rule=f"its run's {CONFIG} does not record what it was trained on", fix="Train it again"
        ) from error


def data_config_of(version: Version) -> DataConfig:
    """The data set of a version, as its run logged it. Raises `RegistryError` where the run does not say."""
    return _configuration(version)[0]


def dataset_of(like: Version) -> Dataset:
    """The data set of a version, by the configuration that its run logged: from the cache, where the raw files may be
    gone, else prepared anew. Raises `RegistryError` where the run does not say, `DataError` where the data is gone or
    its fingerprint is another one now."""
    config = _configuration(like)[0]
    fingerprint = like.tags.get("fingerprint", "")
    kept = Folder(root() / "data", config.name, fingerprint).read()
    if kept is not None:
        return kept
    try:
        found = dataset.load(config)
    except RecstageError as error:
        raise DataError(
            f"data set '{config.name}' of {like}", rule=f"is gone ({error.given}: {error.rule})", fix="Bring it back"
        ) from error
    if found.fingerprint != fingerprint:
        raise DataError(
            f"data set '{config.name}' of {like}",
            rule=f"has changed since: its fingerprint was {fingerprint} and is {found.fingerprint}",
            fix="Train both versions on the data as it is now",
        )
    return found


def _users_with_known_test_rows(model: Recommender, test: Interactions) -> NDArray[np.object_]:
    train = model.train_
    user = train.users.index_of(test.users.id_of(test.user_index))
    item = train.items.index_of(test.items.id_of(test.item_index))
    known = (user >= 0) & (item >= 0)
    trained_on = train.user_index.astype(np.int64) * train.n_items + train.item_index
    seen = known & np.isin(user.astype(np.int64) * train.n_items + item, trained_on)
    return np.unique(test.users.id_of(test.user_index[seen]).astype(str)).astype(object)
