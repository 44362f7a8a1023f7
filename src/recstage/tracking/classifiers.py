"""What runs of the item classifier carry: their texts as a data set, the test texts for the gate, the model itself."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models.signature import ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, Schema

from recstage import pyfunc
from recstage.classifier import storage
from recstage.classifier.data.samples import LabelledTexts
from recstage.classifier.training import TextSplit
from recstage.errors import ConfigError
from recstage.tracking.logging import log_metrics

TEST_TEXTS = "evaluation/test_texts.parquet"
SPLITS = {"stratified": "iterative-stratified", "random": "random"}
CODE = Path(pyfunc.__file__).with_name("classifier_code.py")


def log_texts(run_id: str, data: LabelledTexts, parts: TextSplit, seed: int) -> None:
    """The tags by which runs are comparable, what was left out, and the test texts with their classes."""
    client = MlflowClient()
    tags = {"data": data.name, "split": f"{SPLITS[parts.method]}-{seed}", "fingerprint": data.fingerprint}
    for key, value in tags.items():
        client.set_tag(run_id, key, value)
    sizes = {"train": len(parts.train), "validation": len(parts.validation), "test": len(parts.test)}
    classes = dict(zip(data.labels, data.truth.sum(axis=0).tolist(), strict=True))
    about = {**tags, **sizes, "classes": classes, "dropped": dict(data.dropped), "rare": dict(data.rare)}
    client.log_dict(run_id, about, "dataset.json")
    test = data.take(parts.test)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(TEST_TEXTS).name
        codes = [[test.labels[k] for k in np.flatnonzero(row)] for row in test.truth]
        pd.DataFrame({"text": test.texts, "codes": codes}).to_parquet(path, index=False)
        client.log_artifact(run_id, str(path), str(Path(TEST_TEXTS).parent))


def test_texts_of(run_id: str) -> pd.DataFrame:
    """Columns text and codes of the test texts of a run. Raises `ConfigError` where it has none."""
    try:
        path = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=TEST_TEXTS)
    except (MlflowException, OSError) as error:
        raise ConfigError(f"run {run_id}", rule=f"has no {TEST_TEXTS}", fix="Train it again") from error
    return pd.read_parquet(path)


def log_classifier(run_id: str, folder: Path, name: str) -> str:
    """The bundle in `folder` as a pyfunc (text -> categories, confidences); returns its model URI."""
    logged = mlflow.pyfunc.log_model(
        name=name,
        python_model=str(CODE),
        artifacts={"bundle": str(folder)},
        signature=ModelSignature(
            inputs=Schema([ColSpec(DataType.string, "text")]),
            outputs=Schema(
                [ColSpec(Array(DataType.string), "categories"), ColSpec(Array(DataType.double), "confidences")]
            ),
        ),
        input_example=pd.DataFrame({"text": ["A sheriff hunts outlaws."]}),
        pip_requirements=[f"recstage=={version('recstage')}", f"mlflow=={version('mlflow')}"],
        metadata={"algorithm": name, "kind": storage.KIND},
    )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    log_metrics(run_id, {"bundle_bytes": size})
    return logged.model_uri
