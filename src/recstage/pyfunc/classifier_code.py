"""The pyfunc of a classifier's bundle (models from code): MLflow copies this one file into the model."""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class BundledClassifier(PythonModel):
    """text -> categories, confidences."""

    def load_context(self, context: PythonModelContext) -> None:
        from recstage.classifier import storage

        self.classifier = storage.load(Path(context.artifacts["bundle"]))[1]

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        found = self.classifier.classify(model_input["text"].astype(str).tolist())
        return pd.DataFrame(
            {
                "categories": [[label.category for label in one.labels] for one in found],
                "confidences": [[label.confidence for label in one.labels] for one in found],
            }
        )


set_model(BundledClassifier())
