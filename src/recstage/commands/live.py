"""Subcommands of experiments on live users."""

from __future__ import annotations

from typing import Annotated

import typer

from recstage.commands.calls import PASS_ON, options, run_step
from recstage.commands.help import with_settings
from recstage.config.steps import AbReportSettings, DriftSettings, ExperimentSettings, OffPolicySettings, WatchSettings

Name = Annotated[str | None, typer.Option(help="registered model  [recommender]")]


def add_to(app: typer.Typer) -> None:
    """Register the subcommands."""
    app.command(context_settings=PASS_ON, cls=with_settings(ExperimentSettings))(experiment)
    app.command("ab-report", context_settings=PASS_ON, cls=with_settings(AbReportSettings))(ab_report)
    app.command("off-policy", context_settings=PASS_ON, cls=with_settings(OffPolicySettings))(off_policy)
    app.command(context_settings=PASS_ON, cls=with_settings(DriftSettings))(drift)
    app.command(context_settings=PASS_ON, cls=with_settings(WatchSettings))(watch)


def experiment(
    ctx: typer.Context,
    share: Annotated[str | None, typer.Option(help="of the users, 0 to 1; 0 ends it  [0.5]")] = None,
    mode: Annotated[str | None, typer.Option(help="split, shadow, bandit, contextual or interleave  [split]")] = None,
    name: Name = None,
) -> int:
    """Show the version in Staging to a share of the users. A running service follows within seconds."""
    words = [*options(share=share, mode=mode, name=name), *ctx.args]
    return run_step(ctx.obj, "experiments.experiment", words, entry="experiment", line=words)


def ab_report(ctx: typer.Context, name: Name = None) -> int:
    """Is the challenger better? Rates of both versions with intervals that hold however often one looks."""
    words = [*options(name=name), *ctx.args]
    return run_step(ctx.obj, "experiments.ab_report", words, entry="ab-report", line=words)


def off_policy(
    ctx: typer.Context,
    version: Annotated[str | None, typer.Option(help="a version's number  [Staging]")] = None,
    name: Name = None,
) -> int:
    """What would a version earn? Estimated from explored lists, before any user sees it."""
    words = [*options(version=version, name=name), *ctx.args]
    return run_step(ctx.obj, "experiments.off_policy", words, entry="off-policy", line=words)


def drift(
    ctx: typer.Context,
    version: Annotated[str | None, typer.Option(help="a version's number, or Staging  [Production]")] = None,
    name: Name = None,
) -> int:
    """Have inputs, scores or items shifted since a version's training? A page in MLflow says which, and how far."""
    words = [*options(version=version, name=name), *ctx.args]
    return run_step(ctx.obj, "experiments.drift", words, entry="drift", line=words)


def watch(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="look once")] = False,
    name: Name = None,
) -> int:
    """Compare a fresh Production with its predecessor, and roll it back where a guard limit is broken."""
    words = [*options(once=once, name=name), *ctx.args]
    return run_step(ctx.obj, "experiments.watch", words, entry="watch", line=words)
