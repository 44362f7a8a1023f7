"""The pyfunc of every bundle (models from code): MLflow copies this one file into the model, so it stands alone."""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


def as_id(value: Any) -> str:
    """An id as text. A column of whole numbers that a missing one has turned into floats still means 42 by 42.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


class BundledRecommender(PythonModel):
    """user_id -> item_ids, scores, method."""

    def load_context(self, context: PythonModelContext) -> None:
        from recstage import bundle

        self.model = bundle.load(Path(context.artifacts["bundle"])).model

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        options = params or {}
        lists = self.model.recommend_batch(
            [as_id(value) for value in model_input["user_id"]],
            int(options.get("k", 10)),
            exclude_seen=bool(options.get("exclude_seen", True)),
        )
        return pd.DataFrame(
            [
                {"user_id": one.user_id, "item_ids": one.item_ids, "scores": one.scores, "method": one.method}
                for one in lists
            ]
        )


set_model(BundledRecommender())
