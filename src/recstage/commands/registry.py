"""Subcommands of the registry: versions, Production, its history."""

from __future__ import annotations

from typing import Annotated

import typer

from recstage.commands.calls import PASS_ON, options, positional_first, run_step
from recstage.commands.help import with_settings
from recstage.config.steps import (
    BEST,
    CompareSettings,
    HistorySettings,
    PromoteSettings,
    PruneSettings,
    RegisterSettings,
    RollbackSettings,
)

Name = Annotated[str | None, typer.Option(help="registered model  [recommender]")]
Reason = Annotated[str | None, typer.Option(help="why, for the history")]


def add_to(app: typer.Typer) -> None:
    """Register the subcommands."""
    app.command(context_settings=PASS_ON, cls=with_settings(CompareSettings))(compare)
    app.command(context_settings=PASS_ON, cls=with_settings(PromoteSettings))(promote)
    app.command(context_settings=PASS_ON, cls=with_settings(RollbackSettings))(rollback)
    app.command(context_settings=PASS_ON, cls=with_settings(HistorySettings))(history)
    app.command(context_settings=PASS_ON, cls=with_settings(RegisterSettings))(register)
    app.command(context_settings=PASS_ON, cls=with_settings(PruneSettings))(prune)


def compare(ctx: typer.Context, name: Name = None) -> int:
    """All versions and Production side by side, in groups that were tested on the same rows."""
    words = [*options(name=name), *ctx.args]
    return run_step(ctx.obj, "registry.compare", words, entry="compare", line=words)


def promote(
    ctx: typer.Context,
    version: Annotated[str, typer.Argument(help="a version's number; best: the best of the newest data")] = BEST,
    name: Name = None,
    reason: Reason = None,
    force: Annotated[bool, typer.Option("--force", help="past the gate; that is recorded")] = False,
    new_data: Annotated[bool, typer.Option("--new-data", help="replace a Production of other data")] = False,
) -> int:
    """Make a version Production, if the gate of conf/promotion.yaml allows: exit 3 and its reasons if not.

    A running service follows within two seconds.
    """
    version, rest = positional_first(version, ctx.args, BEST)
    words = [*options(version=version, name=name, reason=reason, force=force, new_data=new_data), *rest]
    return run_step(ctx.obj, "registry.promote", words, entry="promote", line=words)


def rollback(
    ctx: typer.Context,
    to: Annotated[str | None, typer.Option(help="a version's number; else what was Production before")] = None,
    name: Name = None,
    reason: Reason = None,
) -> int:
    """Put back what was Production before, at once and without asking the gate."""
    words = [*options(to=to, name=name, reason=reason), *ctx.args]
    return run_step(ctx.obj, "registry.rollback", words, entry="rollback", line=words)


def history(
    ctx: typer.Context,
    at: Annotated[str | None, typer.Option(help="a time like 2026-11-20T18:00: what was Production then?")] = None,
    name: Name = None,
) -> int:
    """Who made what Production, when and why."""
    words = [*options(at=at, name=name), *ctx.args]
    return run_step(ctx.obj, "registry.promotion_history", words, entry="history", line=words)


def register(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(help="a training run's id, runs:/RUN/model or models:/m-...")],
    name: Name = None,
) -> int:
    """Make the model of a run a version."""
    run, rest = positional_first(run, ctx.args)
    words = [*options(run=run, name=name), *rest]
    return run_step(ctx.obj, "registry.register", words, entry="register", line=words)


def prune(
    ctx: typer.Context,
    keep: Annotated[str | None, typer.Option(help="versions of each algorithm that stay")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only list what would be deleted")] = False,
    name: Name = None,
) -> int:
    """Delete old versions; never Production, nor what a rollback needs. Runs and artifacts stay."""
    words = [*options(keep=keep, dry_run=dry_run, name=name), *ctx.args]
    return run_step(ctx.obj, "registry.prune", words, entry="prune", line=words)
