"""Subcommands of the registry as the record: what was, where a version comes from, versions as files."""

from __future__ import annotations

from typing import Annotated

import typer

from recstage.commands.calls import PASS_ON, options, positional_first, run_step
from recstage.commands.help import with_settings
from recstage.config.steps import (
    NOW,
    DiffSettings,
    ExportSettings,
    ImportSettings,
    LineageSettings,
    ProductionAtSettings,
    TrainedOnSettings,
)

Name = Annotated[str | None, typer.Option(help="registered model  [recommender]")]
Version = Annotated[str, typer.Argument(help="a version's number, Production or Staging")]
PRODUCTION = "Production"


def add_to(app: typer.Typer) -> None:
    """Register the subcommands."""
    app.command("production-at", context_settings=PASS_ON, cls=with_settings(ProductionAtSettings))(production_at)
    app.command(context_settings=PASS_ON, cls=with_settings(LineageSettings))(lineage)
    app.command("trained-on", context_settings=PASS_ON, cls=with_settings(TrainedOnSettings))(trained_on)
    app.command(context_settings=PASS_ON, cls=with_settings(DiffSettings))(diff)
    app.command("export", context_settings=PASS_ON, cls=with_settings(ExportSettings))(export)
    app.command("import", context_settings=PASS_ON, cls=with_settings(ImportSettings))(import_)


def production_at(
    ctx: typer.Context,
    time: Annotated[str, typer.Argument(help="like 2026-11-20T18:00")] = NOW,
    name: Name = None,
) -> int:
    """What was Production at a time, since when, and who made it so."""
    time, rest = positional_first(time, ctx.args, NOW)
    words = [*options(time=time, name=name), *rest]
    return run_step(ctx.obj, "record.production_at", words, entry="production-at", line=words)


def lineage(
    ctx: typer.Context,
    version: Version = PRODUCTION,
    snapshot: Annotated[str | None, typer.Option(help="what was trained on it: its digest, or a fingerprint")] = None,
    name: Name = None,
) -> int:
    """Where a version comes from: data, code, parameters, parents; and what else was trained on the same data."""
    version, rest = positional_first(version, ctx.args, PRODUCTION)
    words = [*options(version=version, snapshot=snapshot, name=name), *rest]
    return run_step(ctx.obj, "record.lineage", words, entry="lineage", line=words)


def trained_on(ctx: typer.Context, user: Annotated[str, typer.Argument(help="the user's id")]) -> int:
    """Which versions and runs of all registered models were trained on a user."""
    user, rest = positional_first(user, ctx.args)
    words = [*options(user=user), *rest]
    return run_step(ctx.obj, "record.trained_on", words, entry="trained-on", line=words)


def diff(ctx: typer.Context, first: Version, second: Version, name: Name = None) -> int:
    """Two versions side by side: parameters, data, metrics, lists of the same users."""
    words = [*options(first=first, second=second, name=name), *ctx.args]
    return run_step(ctx.obj, "record.diff", words, entry="diff", line=words)


def export(
    ctx: typer.Context,
    version: Version = PRODUCTION,
    file: Annotated[str | None, typer.Option(help="a new file  [NAME-vN.recstage.zip]")] = None,
    name: Name = None,
) -> int:
    """A version as one file with the digest of everything in it."""
    version, rest = positional_first(version, ctx.args, PRODUCTION)
    words = [*options(version=version, file=file, name=name), *rest]
    return run_step(ctx.obj, "record.export_version", words, entry="export", line=words)


def import_(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="a file that export wrote")],
    name: Name = None,
) -> int:
    """A file of `export` as a new version; importing it twice is importing it once."""
    file, rest = positional_first(file, ctx.args)
    words = [*options(file=file, name=name), *rest]
    return run_step(ctx.obj, "record.import_version", words, entry="import", line=words)
