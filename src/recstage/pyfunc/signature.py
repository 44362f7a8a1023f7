"""How a bundle looks to MLflow: signature, example and requirements of the pyfunc whose code is `model_code.py`."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pandas as pd
from mlflow.models.signature import ModelSignature
from mlflow.types.schema import AnyType, Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema

from recstage.models.base import Recommender

FILE = Path(__file__).with_name("model_code.py")


def signature() -> ModelSignature:
    """Input: a column user_id, text or numbers. Output: item_ids, scores, method. Parameters: k, exclude_seen."""
    return ModelSignature(
        inputs=Schema([ColSpec(AnyType(), "user_id")]),
        outputs=Schema(
            [
                ColSpec(DataType.string, "user_id"),
                ColSpec(Array(DataType.string), "item_ids"),
                ColSpec(Array(DataType.double), "scores"),
                ColSpec(DataType.string, "method"),
            ]
        ),
        params=ParamSchema([ParamSpec("k", DataType.long, 10), ParamSpec("exclude_seen", DataType.boolean, True)]),
    )


def example(model: Recommender) -> pd.DataFrame:
    """The first two users of the training data."""
    return pd.DataFrame({"user_id": model.train_.users.ids[:2].tolist()})


def requirements() -> list[str]:
    """What the pyfunc imports; the bundle's manifest records the versions of the model libraries."""
    return [f"recstage=={version('recstage')}", f"mlflow=={version('mlflow')}"]
