"""Measures two versions beside their metrics, here and now: lists, size, calibration, first stages, promises."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pandas as pd

from recstage import bundle
from recstage.config import EvaluationConfig, PromotionConfig
from recstage.data.dataset import Dataset
from recstage.errors import RecstageError
from recstage.evaluation.protocol import evaluate
from recstage.models.base import Recommender
from recstage.promotion import evidence, gate
from recstage.promotion.behaviour import behaviours
from recstage.promotion.gate import Evidence
from recstage.promotion.guardrails import Measured, StageGain
from recstage.promotion.measures import calibration_error, list_measures
from recstage.registry.mlflow_client import Version
from recstage.registry.versions import fetch

log = logging.getLogger(__name__)


def assess(
    challenger: Version, champion: Version | None, ours: Evidence, theirs: Evidence | None, config: PromotionConfig
) -> tuple[Measured, Measured | None]:
    """Both versions, on a sample of the challenger's test users. What cannot be measured (a data set that is gone, a
    Production that cannot be loaded) is left out and logged. Raises `BundleError`, `RegistryError` where the challenger
    cannot be loaded."""
    folder = fetch(challenger)
    model = bundle.load(folder).model
    found = Measured(ours.metrics, bundle_bytes=bundle.size_of(folder), tags=challenger.tags)
    before = None if theirs is None else Measured(theirs.metrics)
    users = sample(ours.per_user, config.guardrails.sample_users)
    if users:
        found = replace(
            found,
            lists=list_measures(model, users, model),
            behaviours=tuple(behaviours(model, users, config.guardrails)),
        )
        if before is not None and champion is not None:
            before = _with_lists(before, champion, users, model)
    if model.probabilities or model.first_stages():
        found = _on_test_rows(found, model, challenger, ours, config)
    return found, before


def sample(per_user: pd.DataFrame, most: int) -> list[str]:
    """Evenly spaced test users."""
    users = per_user["user_id"].astype(str).tolist()
    if len(users) <= most:
        return users if most else []
    return [users[int(place)] for place in np.linspace(0, len(users) - 1, most)] if most else []


def _with_lists(before: Measured, champion: Version, users: list[str], like: Recommender) -> Measured:
    try:
        model = bundle.load(fetch(champion)).model
    except RecstageError as error:
        log.warning("lists are judged without %s: %s", champion, error)
        return before
    return replace(before, lists=list_measures(model, users, like))


def _on_test_rows(
    found: Measured, model: Recommender, version: Version, ours: Evidence, config: PromotionConfig
) -> Measured:
    try:
        data = evidence.dataset_of(version)
    except RecstageError as error:
        log.warning("calibration and first stages are not judged: %s", error)
        return found
    test = (data.split.transposed() if model.reverse else data.split).test
    return replace(found, calibration=calibration_error(model, test), stage_gain=_stage_gain(model, data, ours, config))


def _stage_gain(model: Recommender, data: Dataset, ours: Evidence, config: PromotionConfig) -> StageGain | None:
    """Over the first stage that is best by the gate's metric; None where there is none, or no user is in common."""
    quick = EvaluationConfig(bootstrap=100, latency_requests=0)
    best: tuple[float, Evidence] | None = None
    for name, stage in model.first_stages().items():
        result = evaluate(stage, data.split.test, config=quick, progress=False)
        if config.metric not in result.metrics:
            return None
        value = result.metrics[config.metric]
        if best is None or value > best[0]:
            best = value, Evidence(name, name, result.metrics, result.per_user)
    if best is None:
        return None
    paired = gate.compare(ours, best[1], config)
    return None if paired is None else StageGain(best[1].label, config.metric, paired)
