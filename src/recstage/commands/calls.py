"""One call of a step from the command line: names are checked before anything slow is imported, then the step runs."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from recstage import cli
from recstage.config import names_in
from recstage.config.resolve import OF_DATA, option_names
from recstage.errors import ConfigError, DataError, nearest, valid_names

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""For Click: options that a subcommand does not name are settings, and go on to the step as they are."""
SHOWN = 3
TRUTH = ("true", "false")


@dataclass(frozen=True)
class Context:
    """What holds for every subcommand: whether the result is printed as JSON, and the words of the command line."""

    as_json: bool = False
    words: list[str] = field(default_factory=list)


def options(**given: object) -> list[str]:
    """`--name value` for each option that was given."""
    found: list[str] = []
    for name, value in given.items():
        if value is not None and value is not False:
            found += [f"--{name}", "true" if value is True else str(value)]
    return found


def plain_flags(words: Sequence[str], flags: Collection[str]) -> list[str]:
    """The words with `--force true`, as every step understands it, written `--force`, and without `--force false`.

    `flags`: the options that take no value, with their dashes.
    """
    found: list[str] = []
    at = 0
    while at < len(words):
        name, equals, value = words[at].partition("=")
        name = name.replace("_", "-") if name not in flags else name
        if name in flags and not equals and at + 1 < len(words) and words[at + 1].lower() in TRUTH:
            value, at = words[at + 1], at + 1
        if name not in flags or value.lower() not in {*TRUTH, ""}:
            found.append(words[at])
        elif value.lower() != "false":
            found.append(name)
        at += 1
    return found


def run_step(
    context: Context,
    module: str,
    words: Sequence[str],
    *,
    entry: str,
    line: Sequence[str],
    settings: Callable[[Any, Sequence[str]], Any] | None = None,
) -> int:
    """Run `recstage.steps.MODULE` with `words`, which its `settings_from` (or `settings`) understands; first the line
    that does the same with MLflow. Returns the exit status."""
    say(f"same as: {mlflow_line(entry, line)}")

    def step(arguments: Sequence[str]) -> Any:
        found = import_module(f"recstage.steps.{module}")
        return found.run(found.settings_from(arguments) if settings is None else settings(found, arguments))

    return cli.main(step, words, show=shown(context), errors_as_json=context.as_json)


def shown(context: Context) -> Any:
    """How a result is printed: one JSON line, or a few lines for a reader."""
    return None if context.as_json else lambda result: "\n".join(summary(result))


def say(text: str) -> None:
    """A line beside the result, on stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


# -- checks that need no step -----------------------------------------------------------------------------------------


def check_model(name: str) -> None:
    """Raises `ConfigError` on a name that conf/model does not have."""
    if name not in names_in("model"):
        raise ConfigError(
            f"model '{name}'", rule="conf/model has no such file", fix=valid_names(name, names_in("model"))
        )


def check_data(name: str) -> None:
    """Raises `DataError` on a word that is neither a data set nor a path."""
    if (
        name in names_in("data")
        or "://" in name
        or any(one in name for one in "*?")
        or Path(name).expanduser().exists()
    ):
        return
    raise DataError(
        f"data '{name}'",
        rule="is neither a name in conf/data nor an existing file or folder",
        fix=valid_names(name, names_in("data")),
    )


def check_options(schema: type[BaseModel], words: Sequence[str], also: Iterable[str] = ()) -> None:
    """Raises `ConfigError` on an option that no setting of `schema` has, with the nearest names, of those that `also`
    may have been meant as well. Values are left to the settings themselves."""
    names = set(option_names(schema))
    names |= {short for short in OF_DATA if f"data.{short}" in names}
    for word in words:
        if not word.startswith("--"):
            continue
        name = word.removeprefix("--").split("=")[0]
        inside_a_map = any(name.startswith(known.removesuffix("NAME")) for known in names if known.endswith(".NAME"))
        a_group = any(known.startswith(f"{name}.") for known in names)
        if name in names or inside_a_map or a_group:
            continue
        near = nearest(name, [*names, *also], SHOWN)
        fix = f"Did you mean {' or '.join(f'--{one}' for one in near)}? " if near else ""
        raise ConfigError(f"--{name}", rule="no such setting", fix=f"{fix}--help lists all")


def positional_first(first: str, rest: Sequence[str], default: str | None = None) -> tuple[str, list[str]]:
    """The word that a subcommand is about (or its default), and the other words in their order: Click takes an option
    that it does not know for that word. Raises `ConfigError` where there is neither."""
    words = [first, *rest]
    at = 0
    while at < len(words) and words[at].startswith("--"):
        at += 1 if "=" in words[at] else 2
    if at >= len(words):
        if default is None:
            raise ConfigError(" ".join(words), rule="it is not said what for", fix="Put the name first; see --help")
        return default, words  # which an option of the same name, later on the line, replaces
    return words[at], words[:at] + words[at + 1 :]


# -- what is printed --------------------------------------------------------------------------------------------------


def mlflow_line(entry: str, words: Sequence[str]) -> str:
    """The `mlflow run` that does what `words` say: it takes no parameter twice, so the last value of each counts."""
    line = f"mlflow run . --env-manager local -e {entry}"
    for name, value in dict(_pairs(words)).items():
        line += f" -P {shlex.quote(f'{name}={value}')}"
    return line


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(words):
        name, equals, value = words[at].removeprefix("--").partition("=")
        if not equals:
            following = words[at + 1] if at + 1 < len(words) else "--"
            value = "true" if following.startswith("--") else following
            at += not following.startswith("--")
        yield name, value
        at += 1


def summary(result: Any) -> Iterator[str]:
    """A result for a reader: a line a field, without what is empty or a table of its own."""
    if not is_dataclass(result):
        yield json.dumps(cli.plain(result))
        return
    for one in fields(result):
        value = getattr(result, one.name)
        if value in (None, "", {}, [], ()) or one.name in ("text", "rows"):
            continue
        yield from _lines(one.name.replace("_", " "), value)


def _lines(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield f"{name}:"
        yield from (f"  {key:<28} {_written(inner)}" for key, inner in value.items())
    elif isinstance(value, list | tuple):
        yield f"{name}:"
        for inner in value:
            yield f"  {_written(inner)}"
    else:
        yield f"{name}: {_written(value)}"


def _written(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    if is_dataclass(value) or isinstance(value, dict):
        found = {key: inner for key, inner in cli.plain(value).items() if inner not in (None, "", {}, [])}
        return ", ".join(f"{key} {_inner(inner)}" for key, inner in found.items() if not _is_a_table(inner))
    return ", ".join(map(_inner, value)) if isinstance(value, list | tuple) else str(value)


def _inner(value: Any) -> str:
    return f"({_written(value)})" if isinstance(value, dict | list | tuple) else _written(value)


def _is_a_table(value: Any) -> bool:
    """What would make a line too long for a reader, and is there with --json."""
    return isinstance(value, dict) and len(value) > SHOWN
