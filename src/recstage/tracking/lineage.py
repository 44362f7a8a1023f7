"""What a run was trained on: the snapshot of the service's database, and keyed digests of the ids of its users."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from recstage.config import DataConfig, ServiceSource
from recstage.data.snapshots import extraction
from recstage.tracking.store import connect, store_uri, translate_store_errors

RANKED_BY_TAG = "ranked-by"
"""Of a composite: which of its parts rank which users, where that is not the model as a whole."""
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


@dataclass(frozen=True)
class RunFacts:
    """A run's tags and parameters."""

    run_id: str
    tags: dict[str, str]
    params: dict[str, str]


def facts_of(run_id: str) -> RunFacts | None:
    """Tags and parameters of a run; None where it is gone."""
    try:
        with translate_store_errors(store_uri()):
            run = MlflowClient().get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return RunFacts(run_id, dict(run.data.tags), dict(run.data.params))


def download(run_id: str, folder: Path) -> Path | None:
    """All artifacts that a run logged itself (not its model), as a folder below `folder`; None where they are gone."""
    try:
        return Path(mlflow.artifacts.download_artifacts(run_id=run_id, dst_path=str(folder)))
    except (MlflowException, OSError):
        return None


def log_late(run_id: str, text: str, name: str) -> bool:
    """A text artifact of a run that ended; false where the run is gone."""
    try:
        place = MlflowClient().get_run(run_id).info.artifact_uri
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return False
    # by the run's own place: MLflow's client remembers where a run was before its checkout was moved
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(name).name
        path.write_text(text)
        get_artifact_repository(place).log_artifact(str(path), str(Path(name).parent))
    return True


def restore_run(
    run_id: str, artifacts: Path, params: dict[str, str], metrics: dict[str, float], tags: dict[str, str]
) -> None:
    """Write what another run logged into a run: artifacts, parameters, metrics, tags."""
    client = MlflowClient()
    now = int(time.time() * 1000)
    if artifacts.is_dir():
        for path in sorted(one for one in artifacts.rglob("*") if one.is_file()):
            inside = path.parent.relative_to(artifacts).as_posix()
            client.log_artifact(run_id, str(path), None if inside == "." else inside)
    batches = [Param(key, value) for key, value in params.items()]
    for start in range(0, len(batches), 100):
        client.log_batch(run_id, params=batches[start : start + 100])
    values = [Metric(key, float(value), now, 0) for key, value in metrics.items()]
    for start in range(0, len(values), 500):
        client.log_batch(run_id, metrics=values[start : start + 500])
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def runs_on(key: str) -> list[RunFacts]:
    """Training runs on a snapshot (by its digest) or a prepared data set (by its fingerprint), the oldest first."""
    found = [*_searched(f"tags.{SNAPSHOT_TAG} = '{_plain(key)}'"), *_searched(f"tags.fingerprint = '{_plain(key)}'")]
    trained = {one.run_id: one for one in found if one.tags.get("stage-of-work") in ("train", "benchmark")}
    return list(trained.values())


def runs_with_snapshot() -> list[RunFacts]:
    """Training runs on any snapshot of the service's database, the oldest first."""
    return [one for one in _searched(f"tags.{SNAPSHOT_TAG} != ''") if one.tags.get("stage-of-work") == "train"]


def _searched(wanted: str) -> list[RunFacts]:
    client, found, token = connect(), list[RunFacts](), None
    with translate_store_errors(store_uri()):
        ids = [one.experiment_id for one in client.search_experiments()]
        while True:
            page = client.search_runs(
                ids, wanted, max_results=1000, order_by=["attributes.start_time ASC"], page_token=token
            )
            found += [RunFacts(run.info.run_id, dict(run.data.tags), dict(run.data.params)) for run in page]
            token = page.token
            if not token:
                return found


def _plain(key: str) -> str:
    return key.replace("'", "")


def digests_of(run_id: str) -> bytes | None:
    """The packed digests of the users a run was trained on; None where it logged none."""
    try:
        path = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=f"{FOLDER}/{extraction.DIGESTS}")
        return Path(path).read_bytes() or None
    except (MlflowException, OSError):
        return None
