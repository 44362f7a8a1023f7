"""Cross-validate models: the same training on several folds of one data set, each a nested run of one parent.

A fold is a split like any other (`recstage.data.split.folds`): presets, searches, what composites choose, popularity
and the segments of users are found anew within it, from its own training and validation rows.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from recstage import tracking
from recstage.cli import named
from recstage.config import Settings, model_config_of, resolve
from recstage.config.steps import TrainSettings
from recstage.data import dataset
from recstage.errors import ConfigError, TooLittleData
from recstage.steps import train, train_settings, training_report
from recstage.steps.benchmarks import fold_tables
from recstage.steps.benchmarks.benchmark_tables import by_model

log = logging.getLogger(__name__)


class CrossValidateSettings(Settings):
    """What is cross-validated, and how; any setting of `train` as well."""

    model: str = Field("als", description="a name of conf/model")
    data: str = Field("synthetic", description="a name of conf/data, a YAML file, or a file or folder with data")
    against: tuple[str, ...] = Field((), description="further models, each compared with `model` on the same folds")
    scheme: Literal["k-fold", "rolling"] = Field(
        "k-fold",
        description="k-fold: each user's pairs dealt out by `seed`; rolling: windows of time, one after another",
    )
    folds: int = Field(5, ge=2, le=50, description="number of the folds")
    seed: int = Field(42, ge=0, description="of the folds, and of every random choice within them")


@dataclass(frozen=True)
class CrossValidation:
    """The settings, and for each fold the training runs, one a model."""

    settings: CrossValidateSettings
    plans: list[list[TrainSettings]]


@dataclass(frozen=True)
class CrossValidateResult:
    """`table` has a row a model and metric, `differences` one a model compared with the first and metric; `skipped` the
    models that some fold was too small for, with the reason."""

    run_id: str
    data: str
    scheme: str
    folds: int
    table: list[dict[str, Any]]
    differences: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def settings_from(arguments: Sequence[str] = ()) -> CrossValidation:
    """Settings from the command line: those of `CrossValidateSettings`, and any of a training run, of which
    `model.params` and `preset` are those of `model` alone. Raises `ConfigError`."""
    given, rest = named(arguments, **dict.fromkeys(CrossValidateSettings.model_fields, ""))
    words = [word for name, value in given.items() if value for word in (f"--{name}", value)]
    settings = resolve(CrossValidateSettings, {}, words, program="cross-validate")
    if settings.model in settings.against or len(set(settings.against)) < len(settings.against):
        raise ConfigError(
            f"against = {', '.join(settings.against)}",
            rule="models that are compared differ",
            fix="Name each once; for other parameters of one model put a YAML in conf/model",
        )
    common = {"seed": settings.seed, "work": "fold"}
    first = train_settings.settings_from(settings.model, settings.data, rest, overrides=common)
    if first.register_:
        raise ConfigError(
            "register = true", rule="a fold's model is measured and never served", fix="Register what `train` makes"
        )
    evaluation = first.evaluation.model_copy(update={"latency_requests": 0})
    others = [
        train_settings.settings_from(name, settings.data, overrides={**common, **_searched(name, first)})
        for name in settings.against
    ]
    plans = []
    for fold in range(1, settings.folds + 1):
        split = first.data.split.model_copy(
            update={"method": settings.scheme, "folds": settings.folds, "fold": fold, "seed": settings.seed}
        )
        both = {"data": first.data.model_copy(update={"split": split}), "evaluation": evaluation}
        plans.append([plan.model_copy(update=both) for plan in (first, *others)])
    return CrossValidation(settings, plans)


def _searched(name: str, first: TrainSettings) -> dict[str, Any]:
    """A search for as long as that of the first model, where the model has anything to search."""
    searchable = bool(model_config_of(name).search)
    if not searchable:
        return {}
    return {"trials": first.trials, "budget": f"{first.budget:.3f}s" if first.budget else ""}


def run(cross: CrossValidation) -> CrossValidateResult:
    """Train and test each model on each fold, as one run with a nested run a fold and model. Raises `TooLittleData`
    where a fold is too small for `model`, and what reading and cutting the data raises."""
    settings, plans = cross.settings, cross.plans
    name = f"cross-validate · {settings.model} · {plans[0][0].data.name}"
    tags = {"stage-of-work": "cross-validation", "model": settings.model}
    with tracking.run(name, tags=tags) as active:
        run_id = active.info.run_id
        config = dataset.located(plans[0][0].data)  # once: all folds are cut from the same rows
        plans = [
            [plan.model_copy(update={"data": plan.data.model_copy(update={"source": config.source})}) for plan in fold]
            for fold in plans
        ]
        shares = []
        for fold in plans:  # all of them before hours of work
            split = dataset.load(fold[0].data).split
            shares.append(len(split.test) / len(split.train_and_validation))
        tracking.log_config(run_id, settings.model_dump(mode="json"))
        results, failed = train.run_all("cross-validate", [plan for fold in plans for plan in fold])
        models = by_model(results)
        for runs in models.values():
            for number, one in enumerate(runs, 1):
                value = training_report.short(one.metrics[training_report.PRIMARY])
                tracking.rename(one.run_id, f"fold {number} of {settings.folds} · {one.model} · {value}")
        whole = {model: runs for model, runs in models.items() if model not in failed}
        if settings.model not in whole:
            raise TooLittleData(settings.data, rule=failed[settings.model], fix="Give more data, or fewer folds")
        share = float(np.mean(shares))
        table, differences = fold_tables.spreads(whole, share), fold_tables.differences(whole, share)
        text = fold_tables.in_markdown(table, differences)
        tracking.log_table(run_id, "cross-validation", table)
        if len(differences):
            tracking.log_table(run_id, "differences", differences)
        tracking.log_text(run_id, text, "cross-validation.md")
        tracking.log_metrics(run_id, _metrics(table, settings.model))
        mean = _metrics(table, settings.model)[training_report.PRIMARY]
        tracking.rename(run_id, f"{name} · {training_report.short(mean)}")
    for line in text.splitlines():
        log.info("%s", line)
    return CrossValidateResult(
        run_id, settings.data, settings.scheme, settings.folds, _rows_of(table), _rows_of(differences), failed
    )


def _metrics(table: pd.DataFrame, model: str) -> dict[str, float]:
    """Of the run: mean, spread and interval of each metric of `model`; of the others the mean of the first metric."""
    found: dict[str, float] = {}
    for row in table.to_dict("records"):
        if row["model"] == model:
            sides = {f"{row['metric']}_{side}": row[side] for side in ("std", "low", "high")}
            found |= {str(row["metric"]): row["mean"], **sides}
        elif row["metric"] == training_report.PRIMARY:
            found[f"{row['model']}_{row['metric']}"] = row["mean"]
    return found


def _rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
