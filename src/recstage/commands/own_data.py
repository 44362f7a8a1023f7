"""`recstage init`: own data, first try."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer

from recstage import cli
from recstage.commands.calls import PASS_ON, options, positional_first, say
from recstage.commands.help import with_settings
from recstage.config.steps import InitSettings


def add_to(app: typer.Typer) -> None:
    """Register the subcommand."""
    app.command(context_settings=PASS_ON, cls=with_settings(InitSettings))(init)


def init(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="events: a file, folder, pattern, sqlite:///... or postgresql://...")],
    items: Annotated[str | None, typer.Option(help="a file that describes the items")] = None,
    name: Annotated[str | None, typer.Option(help="of the data set; else from the file's")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="ask nothing, replace a YAML of that name")] = False,
) -> int:
    """Look into a file of events, say what it holds, and write conf/data/NAME.yaml for it.

    Columns are found by their names; --columns.user_id customer says otherwise.
    """
    file, rest = positional_first(file, ctx.args)

    def step(arguments: Any) -> Any:
        found = import_module("recstage.steps.onboarding.init")
        return found.run(found.settings_from(arguments))

    words = [*options(path=file, items=items, name=name, yes=yes), *rest]
    show = None if ctx.obj.as_json else _shown
    return cli.main(step, words, show=show, errors_as_json=ctx.obj.as_json)


def _shown(result: Any) -> str:
    say(f"same as: mlflow run . --env-manager local -e prepare -P data={result.name}, once the YAML is there")
    return "\n".join(
        [f"written: {result.yaml}", f"report: {result.page}", "next:", *(f"  {one}" for one in result.next)]
    )
