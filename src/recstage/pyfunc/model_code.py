"""The pyfunc of every bundle (models from code): MLflow copies this one file into the model, so it stands alone."""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


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
            model_input["user_id"].astype(str).tolist(),
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
