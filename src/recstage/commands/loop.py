"""Subcommands of the loop: retraining, updates between two retrainings, and the scheduler that asks for both."""

from __future__ import annotations

from typing import Annotated

import typer

from recstage.commands.calls import PASS_ON, options, run_step
from recstage.commands.help import with_settings
from recstage.config.steps import RetrainSettings, ScheduleSettings, UpdateSettings

Name = Annotated[str | None, typer.Option(help="registered model  [recommender]")]


def add_to(app: typer.Typer) -> None:
    """Register the subcommands."""
    app.command(context_settings=PASS_ON, cls=with_settings(RetrainSettings))(retrain)
    app.command(context_settings=PASS_ON, cls=with_settings(ScheduleSettings))(schedule)
    app.command(context_settings=PASS_ON, cls=with_settings(UpdateSettings))(update)


def retrain(
    ctx: typer.Context,
    now: Annotated[bool, typer.Option("--now", help="whatever the triggers of conf/retraining.yaml say")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be done, and why")] = False,
    name: Name = None,
) -> int:
    """Train challengers on what the service collected, where it is due, and stage the winner as Staging."""
    words = [*options(now=now, dry_run=dry_run, name=name), *ctx.args]
    return run_step(ctx.obj, "retraining.retrain", words, entry="retrain", line=words)


def schedule(
    ctx: typer.Context,
    check_minutes: Annotated[str | None, typer.Option(help="between two looks  [60]")] = None,
    name: Name = None,
) -> int:
    """Look at fixed intervals whether a retraining is due, and do it; runs until it is ended."""
    words = [*options(check_minutes=check_minutes, name=name), *ctx.args]
    return run_step(ctx.obj, "retraining.schedule", words, entry="schedule", line=words)


def update(
    ctx: typer.Context,
    version: Annotated[str | None, typer.Option(help="a version's number, or Production  [Production]")] = None,
    data: Annotated[str | None, typer.Option(help="a name of conf/data; same: what the version was trained on")] = None,
    name: Name = None,
) -> int:
    """What happened since a version was trained, taken in without training it again: a new version, staged as Staging
    if the gate lets it."""
    words = [*options(version=version, data=data, name=name), *ctx.args]
    return run_step(ctx.obj, "retraining.update", words, entry="update", line=words)
