"""What a training run shows of itself: a name for humans, example lists, its figures beside Production's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recstage import registry, tracking
from recstage.config import PromotionConfig, check, read_yaml, root
from recstage.data.dataset import Dataset
from recstage.errors import RecstageError
from recstage.evaluation import example_lists
from recstage.evaluation.protocol import Evaluation
from recstage.model_card import Provenance
from recstage.models.base import Recommender
from recstage.promotion import evidence, gate
from recstage.promotion.gate import Evidence

if TYPE_CHECKING:
    from recstage.tuning import Search

PRIMARY = "ndcg_at_10"
EXPLAINED_USERS = 100


def name_of(model: str, data: str, value: float | None = None) -> str:
    """`lambdarank · shop`, and what it reached: `lambdarank · shop · .194`."""
    return " · ".join([model, data, *([] if value is None else [short(value)])])


def short(value: float) -> str:
    """.194; 1.000."""
    text = f"{value:.3f}"
    return text.removeprefix("0") if text.startswith("0.") else text


def examples(model: Recommender, result: Evaluation) -> pd.DataFrame:
    """Lists of a few tested users, with titles and reasons."""
    users = [str(one) for one in result.per_user["user_id"]]
    return example_lists.examples(model, users, result.per_user["segment"].to_numpy(object))


def trials_table(found: Search) -> pd.DataFrame:
    """Every trial of a study: trial, value, state, and a column a parameter."""
    return pd.DataFrame([{"trial": t.number, "value": t.value, "state": t.state, **t.params} for t in found.trials])


def importances_table(found: Search) -> pd.DataFrame:
    """How much each parameter decided, the most first: parameter, importance (shares that sum to one)."""
    ranked = sorted(found.importances.items(), key=lambda pair: -pair[1])
    return pd.DataFrame(ranked, columns=["parameter", "importance"])


def features_table(model: Recommender) -> pd.DataFrame:
    """What each feature weighs, the most first: feature, gain (share of the total of the splits), shap (mean absolute
    contribution to the scores of some users' candidates). Empty for models without features."""
    gain = model.feature_importance()
    if not gain:
        return pd.DataFrame(columns=["feature", "gain", "shap"])
    some = model.train_.of(np.linspace(0, model.train_.n_users - 1, EXPLAINED_USERS).astype(int))
    shap, total = model.mean_contributions(some), sum(gain.values()) or 1
    rows = [(name, value / total, shap.get(name, 0.0)) for name, value in gain.items()]
    return pd.DataFrame(rows, columns=["feature", "gain", "shap"])


def provenance(
    run: tracking.Run, name: str, data: Dataset, model: Recommender, result: Evaluation, seed: int, lists: pd.DataFrame
) -> Provenance:
    """Which run a card is about, and what Production of `name` reaches on the same test rows."""
    production, metrics, difference = _beside_production(name, data, model, result)
    when = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
    return Provenance(
        run.info.run_id,
        f"{when:%Y-%m-%d %H:%M} UTC",
        seed,
        run.data.tags.get("git-commit", "unknown"),
        production,
        metrics,
        difference,
        example_lists.in_lines(lists, model.catalogue_),
    )


def _beside_production(
    name: str, data: Dataset, model: Recommender, result: Evaluation
) -> tuple[str, Mapping[str, float] | None, str]:
    """The label of Production, its figures and the paired difference; empty where there is none to compare with."""
    try:
        version = registry.resolve(name).version
        group = tuple(tracking.dataset_tags(data)[key] for key in ("data", "split", "fingerprint"))
        if version is None or version.group != group:
            return "", None, ""
        theirs = evidence.of_version(version)
        config = check(PromotionConfig, read_yaml(root() / "conf" / "promotion.yaml"), "conf/promotion.yaml")
        ours = Evidence("this model", model.name, result.metrics, result.per_user)
        paired = gate.compare(ours, theirs, config)
    except RecstageError:
        return "", None, ""  # nothing is registered, or its figures are gone: the card does without
    label = f"Production: version {version.number} ({version.algorithm})"
    return label, theirs.metrics, "" if paired is None else f"{config.metric} differs by {gate.in_words(paired)}"
