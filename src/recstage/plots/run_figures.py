"""The figures that every training run logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from recstage.evaluation.metrics import exposure
from recstage.plots import figures

if TYPE_CHECKING:
    from recstage.evaluation.protocol import Evaluation
    from recstage.models.base import Recommender
    from recstage.tuning import Search

EXPLAINED_USERS = 100


def figures_of(
    model: Recommender,
    result: Evaluation,
    curves: Mapping[str, Sequence[tuple[int, float]]],
    search: Search | None = None,
    *,
    step: str = "epoch",
) -> dict[str, Figure]:
    """Figures by name: the metric by segment and the long tail of a fitted model, its learning curves, what its
    features weigh, and the history of its tuning, as far as there are such."""
    shown = exposure(result.lists[:, :10], model.n_items)
    found = {
        "metric_by_segment": figures.metric_by_segment(result),
        "long_tail": figures.long_tail(
            model.train_.item_counts, shown, result.per_user["novelty_at_10"], name=model.name
        ),
    }
    if curves:
        found["learning_curve"] = figures.learning_curves(curves, step=step)
    importance = model.feature_importance()
    if importance:
        some = model.train_.of(np.linspace(0, model.train_.n_users - 1, EXPLAINED_USERS).astype(int))
        found["feature_importance"] = figures.feature_importance(importance, model.mean_contributions(some))
    if search is not None:
        found["optuna_history"] = figures.optuna_history([(trial.number, trial.value) for trial in search.trials])
        if search.importances:
            found["optuna_importances"] = figures.optuna_importances(search.importances)
    return found
