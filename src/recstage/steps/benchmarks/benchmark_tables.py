"""The tables of a benchmark: all models, composites against the best single model, and against other libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from recstage import markdown, tracking
from recstage.config import model_config_of
from recstage.data.segments import SEGMENTS
from recstage.evaluation.significance import paired_bootstrap
from recstage.models.composition import is_composite
from recstage.steps.benchmarks import docs_tables
from recstage.steps.benchmarks.library_measurement import LibraryComparison
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
ALL_USERS = "all"


def by_model(results: Sequence[TrainResult]) -> dict[str, list[TrainResult]]:
    """The runs of each model, one a seed."""
    models: dict[str, list[TrainResult]] = {}
    for result in results:
        models.setdefault(result.model, []).append(result)
    return models


def of_users(models: Mapping[str, Sequence[TrainResult]]) -> dict[str, pd.DataFrame]:
    """For each model a frame by user_id: the segment, and the metrics that are compared, each the mean of its seeds."""
    return {model: _mean_of_seeds([tracking.per_user_of(run.run_id) for run in runs]) for model, runs in models.items()}


def _mean_of_seeds(runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    compared = [name for name in COMPARED if name in runs[0]]
    means = pd.concat(runs).groupby("user_id", sort=False)[compared].mean()
    return means.assign(segment=runs[0].set_index("user_id")["segment"])


def as_table(models: Mapping[str, Sequence[TrainResult]], users: Mapping[str, pd.DataFrame], data: str) -> pd.DataFrame:
    """A row a model, the best first: metrics (means where several seeds were run, and their standard deviation),
    p-values of its differences to the row below it (over users), seconds of a fit."""
    rows = []
    for model, runs in models.items():
        metrics = pd.DataFrame([run.metrics for run in runs])
        row: dict[str, object] = {"model": model, "run_id": runs[0].run_id, "seeds": len(runs)}
        row["ranked_by"] = "; ".join(dict.fromkeys(run.ranked_by for run in runs if run.ranked_by))
        row |= {name: float(metrics[name].mean()) for name in COLUMNS if name in metrics}
        if len(runs) > 1:
            row |= {f"{name}_spread": float(metrics[name].std()) for name in COLUMNS if name in metrics}
        row |= {
            f"{part}_seconds": float(np.mean([run.seconds[part] for run in runs])) for part in ("fit", "evaluation")
        }
        rows.append({**row, "published": PUBLISHED.get((data, model), "")})
    table = pd.DataFrame(rows).sort_values(PRIMARY, ascending=False, ignore_index=True)
    for metric in (name for name in COMPARED if name in table):
        values = [users[str(model)][metric] for model in table["model"]]
        table[f"{metric}_p"] = [*(_p_value(better, worse) for better, worse in pairwise(values)), np.nan]
    return table


def against_the_best(users: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Each composite against the best single model, over all users and over each segment of some: `segment`, `users`,
    `model`, and for each metric that is compared its value, `best` (the model), `best_value` and `p`. No rows where
    there are no composites, or nothing else."""
    composites = [model for model in users if is_composite(model_config_of(model))]
    singles = [model for model in users if model not in composites]
    if not composites or not singles:
        return pd.DataFrame()
    rows = []
    for segment in (ALL_USERS, *SEGMENTS):
        those = {model: _within(frame, segment) for model, frame in users.items()}
        count = len(those[singles[0]])
        if not count or (segment != ALL_USERS and count == len(users[singles[0]])):
            continue
        for model in composites:
            row: dict[str, Any] = {"segment": segment, "users": count, "model": model}
            for metric in (name for name in COMPARED if name in those[model]):
                best = max(singles, key=lambda single: those[single][metric].mean())
                row[metric] = float(those[model][metric].mean())
                row[f"{metric}_best"], row[f"{metric}_best_value"] = best, float(those[best][metric].mean())
                row[f"{metric}_p"] = _p_value(those[model][metric], those[best][metric])
            rows.append(row)
    return pd.DataFrame(rows)


def _within(users: pd.DataFrame, segment: str) -> pd.DataFrame:
    return users if segment == ALL_USERS else users[users["segment"] == segment]


def _p_value(better: pd.Series, worse: pd.Series) -> float:
    below = worse.reindex(better.index)
    return paired_bootstrap(better.to_numpy(), below.to_numpy(), resamples=5000, seed=0).p_value


# -- in Markdown -------------------------------------------------------------------------------------------------------


def models_in_markdown(table: pd.DataFrame) -> str:
    """The table of `as_table`."""
    shown = [name for name in COLUMNS if name in table]
    compared = [name for name in COMPARED if f"{name}_p" in table]
    with_published = bool(table["published"].any())
    header = ["model", *(COLUMNS[name] for name in shown), *(f"p of {COLUMNS[name]}" for name in compared), "fit"]
    header += ["published HR / NDCG, 99 negatives"] if with_published else []
    rows = []
    for row in table.to_dict("records"):
        spreads = [row.get(f"{name}_spread") for name in shown]
        values = [f"{row[name]:.4f}" for name in shown]
        cells = [  # a deterministic model has no spread
            f"{value} ± {one:.4f}" if one is not None and one >= 5e-5 else value
            for value, one in zip(values, spreads, strict=True)
        ]
        cells += [docs_tables.p_value(row[f"{name}_p"]) for name in compared]
        by = f" ({row['ranked_by']})" if row["ranked_by"] else ""
        cells = [f"`{row['model']}`{by}", *cells, f"{row['fit_seconds']:.1f} s"]
        rows.append(cells + ([str(row["published"])] if with_published else []))
    return markdown.table(header, rows)


def composites_in_markdown(table: pd.DataFrame) -> str:
    """The table of `against_the_best`; nothing where it has no rows."""
    if table.empty:
        return ""
    compared = [name for name in COMPARED if name in table]
    header = ["segment", "users", "composite"]
    for name in compared:
        header += [COLUMNS[name], "best single model", "p"]
    rows = []
    for row in table.to_dict("records"):
        cells = [str(row["segment"]), str(row["users"]), f"`{row['model']}`"]
        for name in compared:
            cells += [f"{row[name]:.4f}", f"`{row[f'{name}_best']}` {row[f'{name}_best_value']:.4f}"]
            cells += [docs_tables.p_value(row[f"{name}_p"])]
        rows.append(cells)
    return markdown.table(header, rows)


def comparisons_in_markdown(comparisons: Sequence[LibraryComparison]) -> str:
    """Ours, theirs and the ratio; nothing where there are no comparisons."""
    if not comparisons:
        return ""
    return markdown.table(["comparison", "ours", "theirs", "ratio"], map(_comparison_cells, comparisons))


def _comparison_cells(one: LibraryComparison) -> list[str]:
    ours, theirs = (f"{value:.4g} {one.unit}".rstrip() for value in (one.ours, one.theirs))
    if np.isnan(one.theirs):
        return [one.title, ours, "", ""]
    return [one.title, ours, theirs, f"{one.ratio:.2f}"]
