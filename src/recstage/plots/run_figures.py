"""The figures that every training run logs: for those who would rather look than read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recstage.evaluation.metrics import exposure
from recstage.plots import figures, list_figures, tuning_figures

if TYPE_CHECKING:
    from recstage.evaluation.protocol import Evaluation
    from recstage.models.base import Recommender
    from recstage.tuning import Search

SECONDS = "seconds"
"""What a fit reports of its time is no curve of what it learned."""


def figures_of(
    model: Recommender,
    result: Evaluation,
    curves: Mapping[str, Sequence[tuple[int, float]]],
    search: Search | None = None,
    trials: pd.DataFrame | None = None,
    features: pd.DataFrame | None = None,
) -> dict[str, Figure]:
    """Figures by name: the metric by segment, the coverage and popularity of the lists, their long tail and scores; as
    far as there are such, the learning curves, what the features weigh, and a search's trials (`features`, `trials`:
    the tables that the run logs)."""
    shown = exposure(result.lists[:, :10], model.n_items)
    found = {
        "metric_by_segment": figures.metric_by_segment(result),
        "long_tail": figures.long_tail(
            model.train_.item_counts, shown, result.per_user["novelty_at_10"], name=model.name
        ),
        "coverage": list_figures.coverage_curve(result.lists, model.train_.item_counts, name=model.name),
    }
    if np.isfinite(result.scores).any():
        found["scores"] = list_figures.score_histogram(result.scores, name=model.name)
    learned = {name: points for name, points in curves.items() if not name.endswith(SECONDS)}
    if learned:
        found["learning_curve"] = figures.learning_curves(learned, step=model.step_name, note=model.curve_note)
    if features is not None and len(features):
        gain, shap = (dict(zip(features["feature"], features[name], strict=True)) for name in ("gain", "shap"))
        found["feature_importance"] = figures.feature_importance(gain, shap)
    if search is not None:
        found["optuna_history"] = figures.optuna_history([(trial.number, trial.value) for trial in search.trials])
        if search.importances:
            found["optuna_importances"] = figures.optuna_importances(search.importances)
    if trials is not None and trials["value"].notna().any():
        found["optuna_parallel_coordinates"] = tuning_figures.parallel_coordinates(trials)
        found["optuna_slices"] = tuning_figures.slices(trials)
    return found
