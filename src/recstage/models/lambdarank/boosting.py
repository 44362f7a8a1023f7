"""How the booster learns from examples: LightGBM's LambdaRank, stopped by NDCG of held-out users."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from recstage.errors import TooLittleData
from recstage.models.base import Report
from recstage.models.lambdarank.examples import GRADES, Examples

EVALUATED_EVERY = 5
"""Rounds between two measurements of NDCG."""
CUTOFFS = (5, 10)
WATCHED = "validation_ndcg_at_10"
MEASURED_GROUPS = 2000
"""Groups whose NDCG stands for all that are trained on."""


def boost(
    train: Examples,
    validation: Examples | None,
    names: list[str],
    options: Mapping[str, Any],
    *,
    rounds: int,
    patience: int,
    dismissal_gain: float,
    seed: int,
    report: Report,
) -> tuple[str, int]:
    """LightGBM's text of the booster, and its number of rounds: the best by NDCG@10 of `validation`, where training
    stops after `patience` rounds without a gain (0: never)."""
    if not len(train.sizes):
        raise TooLittleData(
            f"{train.groups} users with labels, none of them among the candidates",
            rule="lambdarank learns from users whose later interactions are among the candidates",
            fix="Give more data, more candidates or lower min_interactions",
        )
    settings = {
        "objective": "lambdarank",
        "metric": "None",
        "label_gain": [0.0] + [dismissal_gain + 2.0**grade - 1 for grade in range(GRADES + 1)],
        "verbosity": -1,
        "seed": seed % 2**31,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        **options,
    }
    data = lightgbm.Dataset(train.features, train.labels, group=train.sizes, feature_name=names, params=settings)
    booster = lightgbm.Booster(settings, data)
    seen = train.head(MEASURED_GROUPS)
    watched = validation if validation is not None and len(validation.sizes) else None
    if watched is not None:
        booster.add_valid(lightgbm.Dataset(watched.features, reference=data, params=settings), "validation")
    best, best_round = -1.0, 0
    for done in tqdm(range(1, rounds + 1), desc="boost", disable=None, delay=2, leave=False):
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


def _measured(evaluate: Callable[..., list], name: str, examples: Examples) -> dict[str, float]:
    """NDCG at each of `CUTOFFS`; LightGBM's own counts groups without a positive, and gains of what is untouched."""

    def ndcg(scores: NDArray[np.float64], _: lightgbm.Dataset) -> list[tuple[str, float, bool]]:
        return [(f"ndcg_at_{k}", examples.ndcg(scores[: len(examples.labels)], k), True) for k in CUTOFFS]

    return {f"{name}_{metric}": float(value) for _, metric, value, _ in evaluate(ndcg)}
