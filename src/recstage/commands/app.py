"""The application: all subcommands, `--json`, and how what went wrong is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import typer

from recstage import cli
from recstage.commands import live, loop, own_data, programs, record, registry, state, steps
from recstage.commands.calls import Context, plain_flags
from recstage.commands.help import options_in
from recstage.errors import ConfigError, RecstageError, valid_names

UsageError: Any = typer.BadParameter.__mro__[1]
"""Click's, of whichever Click Typer uses: it shows only what is made of it."""
GUIDE = """Train recommenders, compare them, promote one, serve it.

Own data in five commands:

\b
  recstage init shop.csv                 what is in the file? writes conf/data/shop.yaml
  recstage train als --data shop         fit, test once, register as a version
  recstage promote                       the best version becomes Production, if the gate allows
  recstage serve                         answers on http://127.0.0.1:8000/docs
  curl 'http://127.0.0.1:8000/api/recommendations?user_id=42&limit=5'

`init` prints the other four for your file, with --name where other data is in Production already.

Any setting is an option by its name (--data.split.method ratio, --model.params.factors 64); `recstage train als --help`
lists them. Every step prints the `mlflow run` line that does the same.

\b
Exit status: 0 done, 2 wrong input, 3 refused by the promotion gate, 130 interrupted.
"""

app = typer.Typer(
    name="recstage",
    help=GUIDE,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for part in (own_data, steps, registry, record, loop, live, programs, state):
    part.add_to(app)


@app.callback()
def _options(
    as_json: bool = typer.Option(False, "--json", help="print the result as one JSON line (anywhere on the line)"),
) -> None:
    """Options of every subcommand; `main` has read them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit status. A mistake is one line on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    words = words or ["--help"]
    context = Context(as_json="--json" in words, words=[word for word in words if word != "--json"])
    try:
        command = typer.main.get_command(app)
        context.words[:] = plain_flags(context.words, _flags(command, context.words))
        status = command.main(context.words, prog_name="recstage", standalone_mode=False, obj=context)
    except UsageError as error:
        return _say(_explained(error), context.as_json)
    except (typer.Abort, KeyboardInterrupt):
        return cli.INTERRUPTED
    except RecstageError as error:
        return _say(error, context.as_json)
    return status if isinstance(status, int) else 0


def _flags(command: Any, words: Sequence[str]) -> frozenset[str]:
    """Options of the chosen subcommand that take no value."""
    chosen = command.commands.get(next((word for word in words if not word.startswith("-")), ""))
    parameters = () if chosen is None else chosen.params
    return frozenset(name for one in parameters if getattr(one, "is_flag", False) for name in one.opts)


def _explained(error: Any) -> RecstageError:
    """Click's complaint about the command line as one of ours."""
    called = error.ctx.command_path if error.ctx is not None else "recstage"
    known: Any = error.ctx.command if error.ctx is not None else None
    if hasattr(known, "commands") and "No such command" in error.format_message():
        given = error.format_message().split("'")[1]
        return ConfigError(f"{called} {given}", rule="no such command", fix=valid_names(given, known.commands))
    option = getattr(error, "option_name", "")
    if option and known is not None and option not in options_in(error.ctx):
        return ConfigError(f"{called} {option}", rule="no such option", fix=valid_names(option, options_in(error.ctx)))
    return ConfigError(called, rule=error.format_message().rstrip("."), fix=f"See {called} --help")


def _say(error: RecstageError, as_json: bool) -> int:
    print(f"recstage: {error}", file=sys.stderr)  # noqa: T201
    if as_json:
        print(json.dumps(cli.error_body(error)), flush=True)  # noqa: T201
    return error.exit_code
