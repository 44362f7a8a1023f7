"""The tables of a cross-validation: each metric over the folds, and models compared in pairs on the same folds."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from recstage import markdown, tracking
from recstage.evaluation.over_folds import over_folds
from recstage.evaluation.significance import paired_bootstrap
from recstage.steps.benchmarks import docs_tables
from recstage.steps.benchmarks.benchmark_tables import COMPARED
from recstage.steps.train import TrainResult

NOT_SHOWN = ("latency_p50_ms", "latency_p95_ms")
Folds = Mapping[str, Sequence[TrainResult]]
"""The runs of each model, in the order of the folds."""


def spreads(models: Folds, test_share: float) -> pd.DataFrame:
    """A row a model and metric: mean, std (from fold to fold), low and high (of the mean), and `fold_1`, ..."""
    rows = []
    for model, runs in models.items():
        metrics = [name for name in runs[0].metrics if all(name in run.metrics for run in runs)]
        for metric in (name for name in metrics if name not in NOT_SHOWN):
            values = [run.metrics[metric] for run in runs]
            found = asdict(over_folds(values, test_share))
            del found["p_value"]
            folds = {f"fold_{n}": value for n, value in enumerate(values, 1)}
            rows.append({"model": model, "metric": metric, **found, **folds})
    return pd.DataFrame(rows)


def differences(models: Folds, test_share: float) -> pd.DataFrame:
    """The first model minus each other one, a row a metric that is compared: the mean difference over folds with its
    interval and p-value, and the p-value of a paired bootstrap over users, each with the mean of their folds."""
    first, *others = models
    users = {model: _of_users(runs) for model, runs in models.items()} if others else {}
    rows = []
    for other in others:
        for metric in (name for name in COMPARED if name in users[first] and name in users[other]):
            pairs = zip(models[first], models[other], strict=True)
            found = over_folds([ours.metrics[metric] - theirs.metrics[metric] for ours, theirs in pairs], test_share)
            theirs = users[other][metric].reindex(users[first].index)
            of_users = paired_bootstrap(users[first][metric], theirs, resamples=5000, seed=0)
            rows.append(
                {
                    "model": first,
                    "against": other,
                    "metric": metric,
                    "difference": found.mean,
                    "low": found.low,
                    "high": found.high,
                    "p_folds": found.p_value,
                    "p_users": of_users.p_value,
                }
            )
    return pd.DataFrame(rows)


def _of_users(runs: Sequence[TrainResult]) -> pd.DataFrame:
    folds = pd.concat([tracking.per_user_of(run.run_id) for run in runs])
    compared = [name for name in COMPARED if name in folds]
    return folds.groupby("user_id", sort=False)[compared].mean()


def in_markdown(spread: pd.DataFrame, difference: pd.DataFrame) -> str:
    """Both tables; the second only where there are several models."""
    rows = [
        [f"`{row['model']}`", row["metric"], f"{row['mean']:.4f} ± {row['std']:.4f}", _interval(row)]
        for row in spread.to_dict("records")
    ]
    text = markdown.table(["model", "metric", "mean ± std of the folds", "95 % interval of the mean"], rows)
    if difference.empty:
        return text
    rows = [
        [
            f"`{row['model']}` - `{row['against']}`",
            row["metric"],
            f"{row['difference']:+.4f}",
            _interval(row),
            docs_tables.p_value(row["p_folds"]),
            docs_tables.p_value(row["p_users"]),
        ]
        for row in difference.to_dict("records")
    ]
    header = ["models", "metric", "difference", "95 % interval", "p over folds", "p over users"]
    return f"{text}\n{markdown.table(header, rows)}"


def _interval(row: Mapping[Hashable, Any]) -> str:
    return f"{row['low']:.4f} to {row['high']:.4f}"
