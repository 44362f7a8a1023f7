"""Subcommands that look at the installation: what there is, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Annotated, Any

import typer

from recstage import cli
from recstage.commands.calls import shown


def add_to(app: typer.Typer) -> None:
    """Register the subcommands."""
    app.command()(status)
    app.command()(doctor)


def status(ctx: typer.Context, runs: Annotated[str, typer.Option(help="how many of the last runs")] = "5") -> int:
    """Registered models and their Production, the last runs, prepared data sets."""
    return cli.main(_step("status"), ["--runs", runs], show=shown(ctx.obj), errors_as_json=ctx.obj.as_json)


def doctor(
    ctx: typer.Context,
    fix: Annotated[bool, typer.Option("--fix", help="mend places of artifacts, aliases, missing bundles")] = False,
) -> int:
    """What keeps this installation from working, and how to mend it. Exit 2 where something is wrong."""
    found: list[Any] = []

    def step(arguments: Any) -> Any:
        found.append(_step("doctor")(arguments))
        return found[0]

    show = None if ctx.obj.as_json else lambda result: "\n".join(_told(result))
    status = cli.main(step, ["--fix", str(fix).lower()], show=show, errors_as_json=ctx.obj.as_json)
    return status or (0 if found[0].healthy else 2)


def _step(name: str) -> Any:
    def step(arguments: Any) -> Any:
        found = import_module(f"recstage.steps.{name}")
        return found.run(found.settings_from(arguments))

    return step


def _told(result: Any) -> Iterator[str]:
    for one in result.findings:
        yield f"{'ok   ' if one.ok else 'WRONG'}  {one.name}: {one.says}"
        if not one.ok:
            yield f"       {one.fix}"
