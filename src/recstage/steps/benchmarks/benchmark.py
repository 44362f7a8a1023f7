"""Measure all models on one data set, each as a logged run, and compare ours with other libraries in the same run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from recstage import tracking
from recstage.cli import plain
from recstage.config import Settings, model_config_of, names_in, resolve
from recstage.errors import ConfigError
from recstage.models.composition import is_composite
from recstage.steps import train, train_settings
from recstage.steps.benchmarks import benchmark_tables as tables
from recstage.steps.benchmarks import docs_tables, library_comparison, measured_figures
from recstage.steps.benchmarks.library_measurement import LibraryComparison
from recstage.steps.benchmarks.measured_figures import Figure

log = logging.getLogger(__name__)


class BenchmarkSettings(Settings):
    """What is measured."""

    data: str = Field("ml-1m-ncf", description="a name of conf/data, or a path")
    models: tuple[str, ...] = Field((), description="names of conf/model; none: all that rank items for users")
    seed: int = Field(42, ge=0)
    seeds: int = Field(1, ge=1, description="so many seeds, from `seed` on: the table then has means and spreads")
    against: tuple[str, ...] = Field(
        (),
        description=f"comparisons with other libraries in the same run: {', '.join(library_comparison.NAMES)};"
        " or one of these, by itself: "
        + ", ".join(f"`{name}` ({one.words})" for name, one in measured_figures.SETS.items()),
    )
    quick: bool = Field(False, description="a tenth of the figures of loop or scale, to see whether they run")
    events: int = Field(1_000_000, ge=1000, description="of the closed loop's snapshot of PostgreSQL")
    write: bool = Field(False, description="write the tables between their marks in README.md and docs/benchmarks.md")


@dataclass(frozen=True)
class BenchmarkResult:
    """`table` has a row a model; `composites` a row a composite and segment; `comparisons` ours, theirs and the
    ratio; `skipped` the models, comparisons and benchmarks left out, with the reason; `figures` those of `loop` or
    `scale`."""

    run_id: str
    data: str
    table: list[dict[str, Any]]
    composites: list[dict[str, Any]]
    comparisons: list[LibraryComparison]
    skipped: dict[str, str]
    figures: list[Figure] = field(default_factory=list)


def settings_from(arguments: Sequence[str] = ()) -> BenchmarkSettings:
    """Settings from the command line."""
    return resolve(BenchmarkSettings, {}, arguments, program="benchmark")


def run(settings: BenchmarkSettings) -> BenchmarkResult:
    """Train and test every model with the parameters of its YAML. Raises `ConfigError` on an unknown name, and where no
    page has a place for the table that is to be written."""
    for name in settings.against:
        if name in measured_figures.SETS:
            return _of_a_set(name, settings)
    names = settings.models or _rankers_of_items()
    plans = [
        train_settings.settings_from(name, settings.data, overrides={"seed": settings.seed + i, "work": "benchmark"})
        for i in range(settings.seeds)
        for name in names
    ]
    against = library_comparison.checked(settings.against)
    mark = f"benchmark {plans[0].data.name}"
    if settings.write:
        docs_tables.check(mark)
    with tracking.run(f"benchmark · {plans[0].data.name}", tags={"stage-of-work": "benchmark"}) as active:
        results, skipped = train.run_all("benchmark", plans)
        models = tables.by_model(results)
        users = tables.of_users(models)
        table, composites = tables.as_table(models, users, settings.data), tables.against_the_best(users)
        comparisons, failed = library_comparison.run_comparisons(against, settings.data, settings.seed)
        shown = tables.models_in_markdown(table), tables.composites_in_markdown(composites)
        text = "\n".join(part for part in (*shown, tables.comparisons_in_markdown(comparisons)) if part)
        tracking.log_table(active.info.run_id, "benchmark", table)
        if len(composites):
            tracking.log_table(active.info.run_id, "composites", composites)
        tracking.log_text(active.info.run_id, text, "benchmark.md")
        tracking.log_metrics(active.info.run_id, _comparison_metrics(comparisons))
        for row in table.to_dict("records"):
            tracking.log_metrics(active.info.run_id, {f"{row['model']}_{tables.PRIMARY}": row[tables.PRIMARY]})
    for line in (*text.splitlines(), *(f"{name} was left out: {why}" for name, why in failed.items())):
        log.info("%s", line)
    if settings.write:
        docs_tables.write(mark, shown[0])
        if len(composites):
            docs_tables.write(f"composites {plans[0].data.name}", shown[1])
    rows, segments = _rows_of(table), _rows_of(composites)
    return BenchmarkResult(active.info.run_id, settings.data, rows, segments, comparisons, skipped | failed)


def _of_a_set(name: str, settings: BenchmarkSettings) -> BenchmarkResult:
    """The figures of a set as a logged run; no model is trained."""
    words = measured_figures.SETS[name].words
    if settings.models or len(settings.against) > 1:
        raise ConfigError(
            f"against = {', '.join(settings.against)}",
            rule=f"{words} is measured by itself, without models and other comparisons",
            fix=f"Give -P against={name} alone",
        )
    if settings.write:
        docs_tables.check(name)
    with tracking.run(f"benchmark · {name}", tags={"stage-of-work": "benchmark"}, system_metrics=False) as active:
        run_id = active.info.run_id
        found, failed = measured_figures.measured(name, settings.data, settings.events, quick=settings.quick)
        text = measured_figures.in_markdown(found)
        tracking.log_table(run_id, name, pd.DataFrame([plain(one) for one in found]))
        tracking.log_text(run_id, text, f"{name}.md")
        tracking.log_metrics(run_id, measured_figures.metrics(name, found))
    if settings.write:
        docs_tables.write(name, text)
    for line in (*text.splitlines(), *(f"{part} was left out: {why}" for part, why in failed.items())):
        log.info("%s", line)
    return BenchmarkResult(run_id, settings.data, [], [], [], failed, found)


def _rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _comparison_metrics(comparisons: Sequence[LibraryComparison]) -> dict[str, float]:
    ratios = {f"ratio_{one.name}": one.ratio for one in comparisons if not np.isnan(one.ratio)}
    return ratios | {f"ours_{one.name}": one.ours for one in comparisons}


def _rankers_of_items() -> list[str]:
    """Composites last: their parts are then fitted already, and the time of a fit is that of what they add."""
    configs = [model_config_of(name) for name in names_in("model")]
    return [one.name for one in sorted(configs, key=is_composite) if one.registered_name == "recommender"]
