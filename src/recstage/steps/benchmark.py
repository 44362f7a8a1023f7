"""Measure all models on one data set, each as a logged run, and ours against the libraries of the field beside it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from recstage import tracking
from recstage.config import Settings, model_config_of, names_in, resolve
from recstage.evaluation.significance import paired_bootstrap
from recstage.models.composition import is_composite
from recstage.steps import contests, pages, train
from recstage.steps.contests import Contest
from recstage.steps.train import TrainResult

PRIMARY = "ndcg_at_10"
COMPARED = (PRIMARY, "sampled_ndcg_at_10")
COLUMNS = {
    "sampled_hit_rate_at_10": "HR@10, 99 negatives",
    "sampled_ndcg_at_10": "NDCG@10, 99 negatives",
    "hit_rate_at_10": "HR@10",
    "ndcg_at_10": "NDCG@10",
    "recall_at_20": "Recall@20",
    "coverage_at_10": "coverage@10",
    "diversity_at_10": "diversity@10",
}
PUBLISHED = {
    ("ml-1m-ncf", "popularity"): ".4535 / .2543",
    ("ml-1m-ncf", "knn"): ".6705 / .3908",
    ("ml-1m-ncf", "graph"): ".6715 / .3991",
    ("ml-1m-ncf", "als"): ".7310 / .4521",
    ("ml-1m-ncf", "ncf"): ".730 / .447",
}
"""HR@10 / NDCG@10 with 99 negatives: Rendle et al. 2020, Ferrari Dacrema et al. 2019, irspack, He et al. 2017."""

log = logging.getLogger(__name__)


class BenchmarkSettings(Settings):
    """What is measured."""

    data: str = Field("ml-1m-ncf", description="a name of conf/data, or a path")
    models: tuple[str, ...] = Field((), description="names of conf/model; none: all that rank items for users")
    seed: int = Field(42, ge=0)
    seeds: int = Field(1, ge=1, description="so many seeds, from `seed` on: the table then has means and spreads")
    against: tuple[str, ...] = Field((), description=f"contests to hold in the same run: {', '.join(contests.NAMES)}")
    write: bool = Field(False, description="write the table between its marks in README.md and docs/benchmarks.md")


@dataclass(frozen=True)
class BenchmarkResult:
    """`table` has a row a model; `contests` ours, theirs and the ratio; `skipped` says why of models and contests."""

    run_id: str
    data: str
    table: list[dict[str, Any]]
    contests: list[Contest]
    skipped: dict[str, str]


def settings_from(arguments: Sequence[str] = ()) -> BenchmarkSettings:
    """Settings from the command line."""
    return resolve(BenchmarkSettings, {}, arguments, program="benchmark")


def run(settings: BenchmarkSettings) -> BenchmarkResult:
    """Train and test every model with the parameters of its YAML. Raises `ConfigError` on an unknown name, and where no
    page has a place for the table that is to be written."""
    names = settings.models or _rankers_of_items()
    plans = [
        train.settings_from(name, settings.data, overrides={"seed": settings.seed + i, "work": "benchmark"})
        for i in range(settings.seeds)
        for name in names
    ]
    against = contests.checked(settings.against)
    mark = f"benchmark {plans[0].data.name}"
    if settings.write:
        pages.check(mark)
    with tracking.run(f"benchmark {settings.data}", tags={"stage-of-work": "benchmark"}) as active:
        results, skipped = train.run_all("benchmark", plans)
        table = as_table(results, settings.data)
        held, failed = contests.hold(against, settings.data, settings.seed)
        text = as_markdown(table, held)
        tracking.log_table(active.info.run_id, "benchmark", table)
        tracking.log_text(active.info.run_id, text, "benchmark.md")
        tracking.log_metrics(active.info.run_id, _contest_metrics(held))
        for row in table.to_dict("records"):
            tracking.log_metrics(active.info.run_id, {f"{row['model']}_{PRIMARY}": row[PRIMARY]})
    for line in (*text.splitlines(), *(f"{name} was not held: {why}" for name, why in failed.items())):
        log.info("%s", line)
    if settings.write:
        pages.write(mark, text)
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    return BenchmarkResult(active.info.run_id, settings.data, rows, held, skipped | failed)


def as_table(results: Sequence[TrainResult], data: str) -> pd.DataFrame:
    """A row a model, the best first: metrics (means where several seeds were run, and their standard deviation),
    p-values of its differences to the row below it (over users, each by the mean of his seeds), seconds of a fit."""
    models: dict[str, list[TrainResult]] = {}
    for result in results:
        models.setdefault(result.model, []).append(result)
    rows = []
    for model, runs in models.items():
        metrics = pd.DataFrame([run.metrics for run in runs])
        row: dict[str, object] = {"model": model, "run_id": runs[0].run_id, "seeds": len(runs)}
        row |= {name: float(metrics[name].mean()) for name in COLUMNS if name in metrics}
        if len(runs) > 1:
            row |= {f"{name}_spread": float(metrics[name].std()) for name in COLUMNS if name in metrics}
        row |= {
            f"{part}_seconds": float(np.mean([run.seconds[part] for run in runs])) for part in ("fit", "evaluation")
        }
        rows.append({**row, "published": PUBLISHED.get((data, model), "")})
    table = pd.DataFrame(rows).sort_values(PRIMARY, ascending=False, ignore_index=True)
    for metric in (name for name in COMPARED if name in table):
        users = [_per_user(models[str(model)], metric) for model in table["model"]]
        table[f"{metric}_p"] = [*(_p_value(better, worse) for better, worse in pairwise(users)), np.nan]
    return table


def as_markdown(table: pd.DataFrame, held: Sequence[Contest]) -> str:
    """The table, and the contests below it, for people."""
    shown = [name for name in COLUMNS if name in table]
    compared = [name for name in COMPARED if f"{name}_p" in table]
    with_published = bool(table["published"].any())
    header = ["model", *(COLUMNS[name] for name in shown), *(f"p of {COLUMNS[name]}" for name in compared), "fit"]
    header += ["published HR / NDCG, 99 negatives"] if with_published else []
    rows = []
    for row in table.to_dict("records"):
        spreads = [row.get(f"{name}_spread") for name in shown]
        values = [f"{row[name]:.4f}" for name in shown]
        cells = [value if one is None else f"{value} ± {one:.4f}" for value, one in zip(values, spreads, strict=True)]
        cells += [pages.p_value(row[f"{name}_p"]) for name in compared]
        cells = [f"`{row['model']}`", *cells, f"{row['fit_seconds']:.1f} s"]
        rows.append(cells + ([str(row["published"])] if with_published else []))
    text = pages.table(header, rows)
    if held:
        text += "\n" + pages.table(["contest", "ours", "theirs", "ratio"], map(_contest_cells, held))
    return text


def _contest_metrics(held: Sequence[Contest]) -> dict[str, float]:
    ratios = {f"ratio_{one.name}": one.ratio for one in held if not np.isnan(one.ratio)}
    return ratios | {f"ours_{one.name}": one.ours for one in held}


def _contest_cells(one: Contest) -> list[str]:
    ours, theirs = (f"{value:.4g} {one.unit}".rstrip() for value in (one.ours, one.theirs))
    if np.isnan(one.theirs):
        return [one.title, ours, "", ""]
    return [one.title, ours, theirs, f"{one.ratio:.2f}"]


def _per_user(runs: Sequence[TrainResult], metric: str) -> pd.Series:
    """Each user's value, the mean of the runs."""
    return pd.concat([tracking.per_user_of(run.run_id).set_index("user_id")[metric] for run in runs], axis=1).mean(
        axis=1
    )


def _p_value(better: pd.Series, worse: pd.Series) -> float:
    below = worse.reindex(better.index)
    return paired_bootstrap(better.to_numpy(), below.to_numpy(), resamples=5000, seed=0).p_value


def _rankers_of_items() -> list[str]:
    """Composites last: their parts are then fitted already, and the time of a fit is that of what they add."""
    configs = [model_config_of(name) for name in names_in("model")]
    return [one.name for one in sorted(configs, key=is_composite) if one.registered_name == "recommender"]
