"""What a run was trained on: the snapshot of the service's database, and keyed digests of the ids of its users."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.exceptions import MlflowException

from recstage.config import DataConfig, ServiceSource
from recstage.data.snapshots import extraction

SNAPSHOT_TAG, UNTIL_TAG = "snapshot", "snapshot-until"
FOLDER = "snapshot"


def log_snapshot(run_id: str, config: DataConfig) -> None:
    """The snapshot of a located data set of the service as an MLflow data set of the active run, as tags, and as
    artifacts: what it holds, and the digests of its users. Nothing where the data came from elsewhere."""
    if not isinstance(config.source, ServiceSource) or config.source.path is None:
        return
    folder = Path(config.source.path)
    about = extraction.about(folder)
    source = CodeDatasetSource({key: str(value) for key, value in asdict(about).items()})
    described = MetaDataset(source, "service-snapshot", about.digest)  # type: ignore[abstract]
    mlflow.log_input(described, context="snapshot")
    client = MlflowClient()
    client.set_tag(run_id, SNAPSHOT_TAG, about.digest)
    client.set_tag(run_id, UNTIL_TAG, str(about.until))
    for name in (extraction.ABOUT, extraction.DIGESTS):
        client.log_artifact(run_id, str(folder / name), FOLDER)


def digests_of(run_id: str) -> bytes | None:
    """The packed digests of the users a run was trained on; None where it logged none."""
    try:
        path = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=f"{FOLDER}/{extraction.DIGESTS}")
        return Path(path).read_bytes() or None
    except (MlflowException, OSError):
        return None
