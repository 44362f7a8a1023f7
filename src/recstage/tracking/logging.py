"""What every run of recstage carries: configuration, data set, metrics, figures, and the model itself."""

from __future__ import annotations

import json
import re
import tempfile
import threading
import time
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
import yaml
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException

from recstage import bundle
from recstage.data.dataset import Dataset
from recstage.data.report.page import page
from recstage.data.segments import SEGMENTS
from recstage.errors import ConfigError
from recstage.evaluation.protocol import Evaluation
from recstage.models.base import Recommender
from recstage.pyfunc import signature as pyfunc
from recstage.tracking import metric_names
from recstage.tracking.lineage import RANKED_BY_TAG

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODEL_ARTIFACT = "model"
PER_USER = "evaluation/per_user.parquet"
METRICS_TABLE = "evaluation/metrics.csv"
FEATURES = "features"
"""The table of a model's features: feature, gain (share of the total), shap."""
NOTE = "mlflow.note.content"
LONGEST_PARAM, LONGEST_PARAM_NAME = 6000, 250
LONGEST_NOTE = 5000
TO_CHOOSE_FROM = ("model.search", "model.presets")
"""Parts of a configuration that are no parameters of the run: a hundred columns of MLflow's tables."""


@cache
def prepare_to_log() -> threading.Thread:
    """Load what logging a model needs while the caller does something else: a fit in compiled code leaves the
    interpreter free for the second that takes."""
    thread = threading.Thread(target=_load_for_logging, name="prepare-to-log")
    thread.start()
    return thread


def _load_for_logging() -> None:
    import_module("matplotlib.backends.backend_agg")
    import_module("mlflow.pyfunc.model")
    requirements_utils = import_module("mlflow.utils.requirements_utils")
    requirements_utils.warn_dependency_requirement_mismatches(["mlflow"])  # finds out what is installed, and keeps it


def log_metrics(
    run_id: str,
    metrics: Mapping[str, float],
    step: int = 0,
    model: str | None = None,
    data: tuple[str, str] | None = None,
) -> None:
    """Numbers in one batch, each in its section (`metric_names`); with the id of a logged model they are also the
    model's, and `data` (name, digest) says what they were measured on."""
    now = int(time.time() * 1000)
    name, digest = data or (None, None)
    rows = [
        Metric(metric_names.sectioned(key), float(value), now, step, model, name, digest, run_id)
        for key, value in metrics.items()
    ]
    MlflowClient().log_batch(run_id, metrics=rows)


def metrics_of(run: Run) -> dict[str, float]:
    """All that was measured in a run, by plain names: its metrics, and the table of the rest. Runs of earlier versions
    had everything as metrics."""
    return {**_table_of(run.info.run_id), **metric_names.plain(run.data.metrics)}


def _table_of(run_id: str) -> dict[str, float]:
    try:
        path = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=METRICS_TABLE)
    except (MlflowException, OSError):
        return {}
    found: dict[str, float] = {}
    for row in pd.read_csv(path).to_dict("records"):
        name = row["metric"] if row["users"] == ALL_USERS else f"{row['users']}_{row['metric']}"
        sides = {name: row["value"], f"{name}_low": row["low"], f"{name}_high": row["high"]}
        found |= {key: float(value) for key, value in sides.items() if pd.notna(value)}
    return found


def log_config(run_id: str, config: Mapping[str, Any]) -> None:
    """The resolved configuration: whole as `config.yaml`, and its leaves as parameters, without what was only to choose
    from (those that `mlflow run` wrote down before are left as they are: MLflow refuses a second value)."""
    client = MlflowClient()
    client.log_text(run_id, yaml.safe_dump(dict(config), sort_keys=False), "config.yaml")
    present = client.get_run(run_id).data.params
    chosen = {key: value for key, value in _leaves(config).items() if not key.startswith(TO_CHOOSE_FROM)}
    named = {_param_name(key): str(value)[:LONGEST_PARAM] for key, value in chosen.items()}
    leaves = {key: value for key, value in named.items() if key not in present}
    params = [Param(key, value) for key, value in leaves.items()]
    for start in range(0, len(params), 100):
        client.log_batch(run_id, params=params[start : start + 100])


def _param_name(key: str) -> str:
    """A key as MLflow takes it: an event type may be called anything, and config.yaml has it as it is."""
    return re.sub(r"[^\w.\- :]", "_", key)[:LONGEST_PARAM_NAME]


def log_dataset(run_id: str, dataset: Dataset) -> None:
    """The data set as MLflow knows one (name, digest, profile), its fingerprint as a tag, and its validation report."""
    client = MlflowClient()
    split = dataset.split
    profile = {
        "users": split.train.n_users,
        "items": split.train.n_items,
        "train": len(split.train),
        "validation": len(split.validation),
        "test": len(split.test),
    }
    described = MetaDataset(  # type: ignore[abstract]
        CodeDatasetSource({"prepared-by": "recstage"}), dataset.name, dataset.fingerprint
    )
    mlflow.log_input(described, context="training", tags={key: str(value) for key, value in profile.items()})
    client.log_dict(run_id, {**profile, "fingerprint": dataset.fingerprint, "report": dataset.report}, "dataset.json")
    shown = page(dataset.report, name=dataset.name, fingerprint=dataset.fingerprint, split=split.method)
    client.log_text(run_id, shown, "data/report.html")
    for key, value in dataset_tags(dataset).items():
        client.set_tag(run_id, key, value)


def dataset_tags(dataset: Dataset) -> dict[str, str]:
    """The tags by which runs are comparable."""
    return {
        "data": dataset.name,
        "split": dataset.split.method,
        "ordered": str(dataset.ordered).lower(),
        "fingerprint": dataset.fingerprint,
    }


@cache
def _libraries() -> str:
    """`NAME==VERSION` of every installed library, a line each."""
    lines = sorted({f"{one.metadata['Name']}=={one.version}" for one in distributions()}, key=str.lower)
    return "\n".join(lines) + "\n"


def log_libraries(run_id: str) -> None:
    """Versions of all installed libraries as `libraries.txt`."""
    MlflowClient().log_text(run_id, _libraries(), "libraries.txt")


def log_evaluation(
    run_id: str,
    evaluation: Evaluation,
    model_uri: str | None = None,
    data: tuple[str, str] | None = None,
    more: Mapping[str, float] | None = None,
) -> None:
    """The headline metrics, the table of all metrics with their confidence intervals, and the per-user values that
    paired comparisons need; with the URI of the model that the run logged, the metrics are also the model's, on `data`
    (name, digest). Metrics in `more` (of `metric_names`) take their place among the others: MLflow shows them in the
    order in which they were logged."""
    bounds = {
        f"{name}_{side}": value
        for name, interval in evaluation.intervals.items()
        for side, value in zip(("low", "high"), interval, strict=True)
    }
    measured = {**evaluation.metrics, **bounds, **(more or {})}
    model = None if model_uri is None else model_uri.removeprefix("models:/")
    log_metrics(run_id, {name: measured[name] for name in metric_names.kept(measured)}, model=model, data=data)
    log_table(run_id, METRICS_TABLE.removesuffix(".csv"), metrics_table(evaluation))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(PER_USER).name
        evaluation.per_user.to_parquet(path, index=False)
        MlflowClient().log_artifact(run_id, str(path), str(Path(PER_USER).parent))


ALL_USERS = "all"


def metrics_table(evaluation: Evaluation) -> pd.DataFrame:
    """Everything that was measured, a row a metric and group of users: metric, users (all, cold, warm, hot), value and
    the bounds of its confidence interval (empty where there is none)."""
    rows = []
    for name, value in evaluation.metrics.items():
        group, _, rest = name.partition("_")
        low, high = evaluation.intervals.get(name, (None, None))
        within = group in SEGMENTS
        rows.append((rest if within else name, group if within else ALL_USERS, value, low, high))
    return pd.DataFrame(rows, columns=["metric", "users", "value", "low", "high"])


def log_note(run_id: str, text: str) -> None:
    """The description of a run, in Markdown, as its page shows it."""
    MlflowClient().set_tag(run_id, NOTE, text[:LONGEST_NOTE])


def set_tags(run_id: str, tags: Mapping[str, str]) -> None:
    """Tags of a run."""
    for name, value in tags.items():
        MlflowClient().set_tag(run_id, name, value)


def rename(run_id: str, name: str) -> None:
    """Give a run another name, once it is known what it came to."""
    MlflowClient().set_tag(run_id, "mlflow.runName", name)


def log_figures(run_id: str, figures: Mapping[str, Figure]) -> None:
    """Plots as `plots/NAME.png`."""
    for name, figure in figures.items():
        MlflowClient().log_figure(run_id, figure, f"plots/{name}.png")


def log_table(run_id: str, name: str, rows: pd.DataFrame) -> None:
    """A table as `NAME.csv`."""
    MlflowClient().log_text(run_id, rows.to_csv(index=False), f"{name}.csv")


def table_of(run_id: str, name: str) -> pd.DataFrame:
    """A table that a run logged as `NAME.csv`. Raises `ConfigError` where it has none."""
    try:
        path = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=f"{name}.csv")
    except (MlflowException, OSError) as error:
        raise ConfigError(f"run {run_id}", rule=f"has no {name}.csv", fix="See the artifacts of the run") from error
    return pd.read_csv(path)


def log_model(
    run_id: str, model: Recommender, metadata: Mapping[str, Any], name: str = MODEL_ARTIFACT
) -> tuple[str, int]:
    """The bundle of a fitted model as a pyfunc of the active run, under a `name` for the list of models; returns its
    model URI and its size in bytes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "bundle"
        bundle.save(model, folder, metadata={**metadata, "run_id": run_id})
        if model.ranking_note:
            MlflowClient().set_tag(run_id, RANKED_BY_TAG, model.ranking_note)
        return log_bundle(folder, model, name), bundle.size_of(folder)


def log_bundle(folder: Path, model: Recommender, name: str = MODEL_ARTIFACT) -> str:
    """The same of a bundle that lies in `folder`, unchanged, and of the model in it; returns the model URI."""
    logged = mlflow.pyfunc.log_model(
        name=_as_model_name(name),
        python_model=str(pyfunc.FILE),
        artifacts={"bundle": str(folder)},
        signature=pyfunc.signature(),
        input_example=pyfunc.example(model),
        pip_requirements=pyfunc.requirements(),
        metadata={"algorithm": model.name, "bundle_sha256": bundle.digest_of(folder)},
    )
    return logged.model_uri


def _as_model_name(text: str) -> str:
    """A name that MLflow takes for a model: it refuses a few marks."""
    return "".join("-" if letter in "/:.%\"'" else letter for letter in text)


def log_text(run_id: str, text: str, name: str) -> None:
    """A text artifact."""
    MlflowClient().log_text(run_id, text, name)


def _leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            found.update(_leaves(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list | tuple | dict) else value
    return found


def per_user_of(run_id: str) -> pd.DataFrame:
    """The per-user metrics that a run logged. Raises `ConfigError` where it has none."""
    try:
        path = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=PER_USER)
    except (MlflowException, OSError) as error:
        raise ConfigError(f"run {run_id}", rule=f"has no {PER_USER}", fix="Train or evaluate it again") from error
    return pd.read_parquet(path)
