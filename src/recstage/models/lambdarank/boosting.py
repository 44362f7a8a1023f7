"""Training of the booster: LightGBM's LambdaRank, stopped by the NDCG of held-out users."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from recstage.errors import TooLittleData
from recstage.models.base import Report
from recstage.models.lambdarank.examples import GRADES, Examples
from recstage.models.lambdarank.params import LambdaRankParams

EVALUATED_EVERY = 5
"""Rounds between two measurements of NDCG."""
CUTOFFS = (5, 10)
WATCHED = "validation_ndcg_at_10"
MEASURED_GROUPS = 2000
"""Groups whose NDCG is reported as that of all training groups."""


def binned(
    examples: Examples, names: list[str], params: LambdaRankParams, seed: int, like: lightgbm.Dataset | None = None
) -> lightgbm.Dataset:
    """The examples as LightGBM's data, features in bins: those of `like`, or of their own. `names` are those of the
    features. Raises `TooLittleData` if no user's label is among the candidates."""
    if not len(examples.sizes):
        raise TooLittleData(
            f"{examples.groups} users with labels, none of them among the candidates",
            rule="lambdarank learns from users whose later interactions are among the candidates",
            fix="Give more data, more candidates or lower min_interactions",
        )
    return lightgbm.Dataset(
        examples.features,
        examples.labels,
        group=examples.sizes,
        feature_name=names,
        params=_settings(params, seed),
        reference=like,
    )


def boost(
    data: lightgbm.Dataset,
    train: Examples,
    validation: Examples | None,
    params: LambdaRankParams,
    *,
    seed: int,
    report: Report,
) -> tuple[str, int]:
    """The booster of `data`, which is `train`, as LightGBM's text, and its number of rounds.

    With `validation`, the rounds are those with the best NDCG@10 there, and training stops after `params.patience`
    rounds without a gain (0: never). Raises what `report` raises.
    """
    settings = _settings(params, seed)
    booster = lightgbm.Booster(settings, data)
    seen = train.head(MEASURED_GROUPS)
    watched = validation if validation is not None and len(validation.sizes) else None
    if watched is not None:
        booster.add_valid(lightgbm.Dataset(watched.features, reference=data, params=settings), "validation")
    rounds, patience = params.num_boost_round, params.patience
    best, best_round = -1.0, 0
    for done in range(1, rounds + 1):
        finished = booster.update()
        if done % EVALUATED_EVERY and done != rounds and not finished:
            continue
        metrics = _measured(booster.eval_train, "train", seen)
        if watched is not None:
            metrics |= _measured(booster.eval_valid, "validation", watched)
        if watched is None or metrics[WATCHED] > best:
            best, best_round = metrics.get(WATCHED, best), done
        report(done, metrics)
        if finished or (watched is not None and patience and done - best_round >= patience):
            break
    return booster.model_to_string(num_iteration=best_round), best_round


def _settings(params: LambdaRankParams, seed: int) -> dict[str, Any]:
    """LightGBM's own parameters."""
    return {
        "objective": "lambdarank",
        "metric": "None",
        "label_gain": [0.0] + [params.dismissal_gain + 2.0**grade - 1 for grade in range(GRADES + 1)],
        "verbosity": -1,
        "seed": seed % 2**31,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        "learning_rate": params.learning_rate,
        "num_leaves": params.num_leaves,
        "min_data_in_leaf": params.min_data_in_leaf,
        "feature_fraction": params.feature_fraction,
        "lambda_l2": params.lambda_l2,
        "lambdarank_truncation_level": params.truncation,
        "max_bin": 127,
    }


def _measured(evaluate: Callable[..., list], name: str, examples: Examples) -> dict[str, float]:
    """NDCG at each of `CUTOFFS`; LightGBM's own counts groups without a positive, and gains of untouched items."""

    def ndcg(scores: NDArray[np.float64], _: lightgbm.Dataset) -> list[tuple[str, float, bool]]:
        found = examples.ndcg(scores[: len(examples.labels)], CUTOFFS)
        return [(f"ndcg_at_{k}", value, True) for k, value in zip(CUTOFFS, found, strict=True)]

    return {f"{name}_{metric}": float(value) for _, metric, value, _ in evaluate(ndcg)}
