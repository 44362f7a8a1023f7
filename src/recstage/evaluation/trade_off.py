"""What diversity costs: accuracy against diversity of re-ranked lists, for several lambdas of MMR."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recstage.config import EvaluationConfig
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions
from recstage.evaluation import metrics
from recstage.evaluation.diversity import diversity_of
from recstage.evaluation.protocol import USERS_AT_ONCE, blocks, cases_of, lists_of
from recstage.evaluation.significance import bootstrap_interval
from recstage.models.base import Recommender
from recstage.rerank import mmr_grid, vectors_of

MAX_LOSS = 0.02
LAMBDAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def trade_off(
    model: Recommender,
    test: Interactions,
    *,
    config: EvaluationConfig,
    catalogue: Catalogue | None = None,
    lambdas: Sequence[float] = LAMBDAS,
    k: int = 10,
    candidates: int = 100,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """NDCG and diversity of the model's best `candidates` items cut to k by MMR, one row a lambda: columns lambda,
    ndcg_at_k, diversity_at_k, coverage_at_k and the bootstrap intervals ndcg_low, ndcg_high, diversity_low,
    diversity_high.

    Full ranking over the positive rows of `test`, as `protocol.evaluate` does it; the row of lambda 1 is the model's
    own list. Raises what `protocol.evaluate` and `rerank.mmr` raise.
    """
    cases = cases_of(model, test)
    space = vectors_of(model, catalogue)
    ranking = lists_of(model, cases.users, max(candidates, k), progress)
    relisted = np.empty((len(lambdas), len(cases.users), k), np.int32)
    for part in blocks(len(cases.users), USERS_AT_ONCE, "Re-rank", progress):
        relisted[:, part] = mmr_grid(ranking.items[part], ranking.scores[part], space.vectors, k, lambdas)
    rows = []
    for lambda_, lists in zip(lambdas, relisted, strict=True):
        hits = metrics.hits_of(lists, *cases.known, model.n_items)
        ndcg = metrics.ndcg(hits, cases.n_relevant, k)
        diversity = diversity_of(lists, [k], model, catalogue)[0][:, 0]
        row = {"lambda": lambda_}
        for name, values in (("ndcg", ndcg), ("diversity", diversity)):
            row[f"{name}_at_{k}"] = float(np.nanmean(values))
            interval = bootstrap_interval(values, resamples=config.bootstrap, confidence=config.confidence, seed=seed)
            row[f"{name}_low"], row[f"{name}_high"] = interval
        row[f"coverage_at_{k}"] = metrics.coverage(metrics.exposure(lists, model.n_items)[model.catalogue_.available])
        rows.append(row)
    return pd.DataFrame(rows)


def best_lambda(curve: pd.DataFrame, max_loss: float = MAX_LOSS, k: int = 10) -> float:
    """The lambda whose lists are the most varied, of those whose NDCG is at most a share `max_loss` below that of the
    model's own lists (lambda 1). `curve` as `trade_off` makes it, of validation rows; it must hold lambda 1.

    Of equally varied lists the more accurate, then those nearest to the model's own.
    """
    own = float(curve.loc[curve["lambda"] == 1.0, f"ndcg_at_{k}"].iloc[0])
    affordable = curve[curve[f"ndcg_at_{k}"] >= (1 - max_loss) * own - 1e-9]
    order = affordable.sort_values([f"diversity_at_{k}", f"ndcg_at_{k}", "lambda"], ascending=False)
    return float(order["lambda"].iloc[0])
