"""Subcommands that prepare data, train and measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from recstage.commands.calls import (
    PASS_ON,
    check_data,
    check_model,
    options,
    positional_first,
    run_step,
)
from recstage.commands.help import with_settings
from recstage.config import names_in
from recstage.config.classifier import ClassifierSettings
from recstage.config.steps import SAME, EvaluateSettings, PipelineSettings, PrepareSettings, TrainSettings

TRIALS = "20"


def models(incomplete: str) -> list[str]:
    """For completion."""
    return [name for name in names_in("model") if name.startswith(incomplete)]


def data_sets(incomplete: str) -> list[str]:
    """For completion."""
    return [name for name in names_in("data") if name.startswith(incomplete)]


Model = Annotated[str, typer.Argument(help="a name of conf/model", autocompletion=models)]
Data = Annotated[str, typer.Option(help="a name of conf/data, a YAML file, or a path", autocompletion=data_sets)]
Trials = Annotated[str | None, typer.Option(help="trials of the hyperparameter search; 0: the YAML's parameters")]
Seed = Annotated[str | None, typer.Option(help="of every random choice")]
Name = Annotated[str | None, typer.Option(help="registered model; one for each data set that is served on its own")]


def add_to(app: typer.Typer) -> None:
    """Register the subcommands."""
    app.command(context_settings=PASS_ON, cls=with_settings(PrepareSettings))(prepare)
    app.command(context_settings=PASS_ON, cls=with_settings(TrainSettings))(train)
    app.command(context_settings=PASS_ON, cls=with_settings(TrainSettings))(tune)
    app.command("main", context_settings=PASS_ON, cls=with_settings(PipelineSettings))(pipeline)
    app.command(context_settings=PASS_ON, cls=with_settings(EvaluateSettings))(evaluate)
    app.command(context_settings=PASS_ON, cls=with_settings(ClassifierSettings))(classifier)
    app.command("cross-validate", context_settings=PASS_ON, cls=with_settings(TrainSettings))(cross_validate)
    app.command(context_settings=PASS_ON, cls=with_settings(_of("benchmark", "BenchmarkSettings")))(benchmark)
    app.command(context_settings=PASS_ON, cls=with_settings(_of("ablate", "AblateSettings")))(ablate)


def _of(step: str, schema: str) -> Callable[[], type[BaseModel]]:
    """Settings that name what their step imports."""

    def found() -> type[BaseModel]:
        return getattr(import_module(f"recstage.steps.benchmarks.{step}"), schema)

    return found


def prepare(ctx: typer.Context, data: Data = "synthetic") -> int:
    """Read, check and split a data set, and say what it holds.

    Rows that cannot be used are counted by reason; --strict refuses them. The others read what this leaves in data/.
    """
    check_data(data)
    words = [*options(data=data), *ctx.args]
    return run_step(ctx.obj, "prepare", words, entry="prepare", line=words)


def train(
    ctx: typer.Context,
    model: Model,
    data: Data = "synthetic",
    trials: Trials = None,
    seed: Seed = None,
    register: Annotated[bool, typer.Option(help="make the model a version that can be promoted")] = True,
    name: Name = None,
) -> int:
    """Fit a model, test it once on rows that it never saw, log everything, register it as a version.

    recstage train als --data shop --model.params.factors 64
    """
    return _train(ctx, model, options(data=data, trials=trials, seed=seed, register=register, name=name))


def tune(
    ctx: typer.Context,
    model: Model,
    data: Data = "synthetic",
    trials: Trials = None,
    budget: Annotated[str | None, typer.Option(help="search for so long at most, such as 90s, 10m or 1h")] = None,
    seed: Seed = None,
    register: Annotated[bool, typer.Option(help="make the best a version that can be promoted")] = True,
    name: Name = None,
) -> int:
    """`train` with a search: try hyperparameters on validation rows, then fit and test the best once.

    recstage tune als --data shop --budget 10m
    """
    if trials is None and budget is None:
        trials = TRIALS
    given = options(data=data, trials=trials, budget=budget, seed=seed, register=register, name=name)
    return _train(ctx, model, given)


def _train(ctx: typer.Context, model: str, given: list[str]) -> int:
    model, rest = positional_first(model, ctx.args)
    check_model(model)
    check_data(given[1])
    words = [*given, *rest]
    data, rest = given[1], [*given[2:], *rest]

    def settings(step: Any, arguments: Sequence[str]) -> Any:
        return step.settings_from(model, data, arguments)

    return run_step(ctx.obj, "train", rest, entry=model, line=words, settings=settings)


def pipeline(
    ctx: typer.Context, data: Data = "synthetic", trials: Trials = None, seed: Seed = None, name: Name = None
) -> int:
    """The main job: prepare, train several models, compare them, promote the best through the gate."""
    check_data(data)
    words = [*options(data=data, trials=trials, seed=seed, name=name), *ctx.args]
    return run_step(ctx.obj, "pipeline", words, entry="main", line=words)


def evaluate(
    ctx: typer.Context,
    version: Annotated[str, typer.Argument(help="a version's number, or Production")] = "Production",
    data: Annotated[str, typer.Option(help="what to measure it on; same: what it was tested on")] = SAME,
    name: Name = None,
) -> int:
    """Measure a registered version again, on the data it was tested on or on other data."""
    version, rest = positional_first(version, ctx.args, "Production")
    if data != SAME:
        check_data(data)
    words = [*options(version=version, data=data, name=name), *rest]
    return run_step(ctx.obj, "evaluate", words, entry="evaluate", line=words)


def classifier(
    ctx: typer.Context,
    data: Annotated[
        str,
        typer.Option(help="a labelled file, service, or a name of conf/data", autocompletion=data_sets),
    ] = "service",
    trials: Annotated[str | None, typer.Option(help="trials of the search over the linear family's settings")] = None,
    seed: Seed = None,
    register: Annotated[bool, typer.Option(help="make the classifier a version that can be promoted")] = True,
    name: Annotated[str | None, typer.Option(help="registered model  [item-classifier]")] = None,
) -> int:
    """Train the classifier that gives new items their categories from their texts, test it once, register it.

    recstage classifier --data texts.jsonl --classifier.family ensemble
    """
    check_data(data)
    words = [*options(data=data, trials=trials, seed=seed, register=register, name=name), *ctx.args]
    return run_step(ctx.obj, "classification.train", words, entry="classifier", line=words)


def cross_validate(
    ctx: typer.Context,
    model: Model,
    data: Data = "synthetic",
    folds: Annotated[str, typer.Option(help="number of the folds")] = "5",
    scheme: Annotated[
        str, typer.Option(help="k-fold: users' pairs, by the seed; rolling: windows of time, one after another")
    ] = "k-fold",
    against: Annotated[
        str | None, typer.Option(help="""further models, compared on the same folds: '["knn","ease"]'""")
    ] = None,
    seed: Seed = None,
) -> int:
    """Train and test a model on several folds of a data set: mean, spread and interval of each metric.

    recstage cross-validate als --data shop --folds 5
    """
    model, rest = positional_first(model, ctx.args)
    check_model(model)
    check_data(data)
    words = [*options(model=model, data=data, folds=folds, scheme=scheme, against=against, seed=seed), *rest]
    return run_step(ctx.obj, "benchmarks.cross_validate", words, entry="cross-validate", line=words)


def benchmark(ctx: typer.Context, data: Data = "ml-1m-ncf") -> int:
    """Train every model on one data set and print the table of their figures."""
    check_data(data)
    words = [*options(data=data), *ctx.args]
    return run_step(ctx.obj, "benchmarks.benchmark", words, entry="benchmark", line=words)


def ablate(ctx: typer.Context, data: Data = "ml-1m-ncf") -> int:
    """Take the second stage apart: what each group of features is worth."""
    check_data(data)
    words = [*options(data=data), *ctx.args]
    return run_step(ctx.obj, "benchmarks.ablate", words, entry="ablate", line=words)
