"""Every command of README and docs/ is one that the programs take: targets, subcommands, options, routes, files.

A command of ours is parsed by the program itself, up to the point where it would begin to work; those that change
nothing and take no time are run (`make help`, `--help`). What other programs do with their options is theirs, but the
files of ours that they are given exist.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest
import typer
import yaml

import experiments.benchmarks.__main__ as benchmarks
import experiments.loop.__main__ as loop
import serving.store.__main__ as store
from experiments.api_types.document import openapi
from recstage import cli
from recstage.commands import app, calls, own_data, programs, state
from recstage.config import names_in, root
from recstage.errors import RecstageError
from serving.settings import load
from tests.docs.pages import Command, commands_of, name_of, pages, simple_commands

pytestmark = pytest.mark.slow

EXAMPLES = {
    "MODEL": "als",
    "VERSION": "1",
    "V1": "1",
    "V2": "2",
    "TIME": "2026-11-20T18:00",
    "DAYS": "30",
    "N": "3",
    "NAME": "synthetic",
    "shop": "synthetic",
    "cul": "synthetic",
    "texts.jsonl": "synthetic",
    "mine": "als",
}
"""What stands in a command for the reader's own."""
DATABASE = frozenset({"createdb", "initdb", "pg_ctl"})
OPERATION = frozenset({"docker", "install", "journalctl", "kubectl", "nginx", "promtool", "ray", "systemctl"})
SHELL = frozenset({".", "cd", "cp", "envsubst", "export", "printf", "set", "sha256sum", "source"})
TOOLS = frozenset({"cut", "git", "grep", "head", "pip", "pip-audit", "pre-commit"})
FOREIGN = DATABASE | OPERATION | SHELL | TOOLS
"""Programs of others that a page may name."""
OURS = re.compile(r"(?:conf|docs|experiments|notebooks|serving|src|tests)/[\w./-]+|constraints\.txt")
"""Files of the repository in the words of a command."""
MADE = {"conf/deploy/.env", "conf/data/shop.yaml", "conf/serving.yaml", "conf/model/mine.yaml"}
"""Files that the reader makes."""
POSITIONAL = {
    "register": ["run"],
    "trained-on": ["user"],
    "import": ["file"],
    "diff": ["first", "second"],
    "cross-validate": ["model"],
}
"""Parameters of entry points that are words of the subcommand."""


NOT_CALLED = ("ui", "lab", "--install-completion")
"""They open the store, start another program, and change the shell."""


GROUP: Any = typer.main.get_command(app.app)


@cache
def entry_points() -> frozenset[str]:
    return frozenset(yaml.safe_load((root() / "MLproject").read_text())["entry_points"])


def all_commands() -> list[Command]:
    return [command for page in pages() if name_of(page) != "CHANGELOG.md" for command in commands_of(page)]


@pytest.fixture
def parse_only(monkeypatch):
    """The subcommands of `recstage` resolve their settings, and do nothing with them."""

    def imported(name: str) -> Any:
        real = __import__(name, fromlist=["settings_from"])
        return SimpleNamespace(settings_from=real.settings_from, run=lambda settings: SimpleNamespace(healthy=True))

    for module in (calls, own_data, state):
        monkeypatch.setattr(module, "import_module", imported)
    monkeypatch.setattr(typer.main, "get_command", lambda app: GROUP)  # which takes half of the time of all of this
    monkeypatch.setattr(cli, "main", lambda step, words=None, **how: step(words) and 0)
    monkeypatch.setattr(programs, "_become", lambda command: check_words(list(command)[1:]))
    monkeypatch.delenv("RECSTAGE_SERVING_DATABASE_URL", raising=False)


def check(command: Command) -> None:
    """Raises `AssertionError` where a part of the command is not known."""
    text = re.sub(r"\[([A-Z0-9]+)\]", r"\1", command.text)
    text = re.sub(r"(\w)\|\w+", r"\1", text)  # either of two words
    text = re.sub(r"^\w+=\$\((.*)\)$", r"\1", text, flags=re.DOTALL)  # what a variable is set to
    for words in simple_commands(text):
        check_words([EXAMPLES.get(word, word) for word in words])


def check_words(words: list[str]) -> None:
    """Hand one command to what knows its program."""
    for path in OURS.findall(" ".join(words)):
        assert path in MADE or "NAME" in path or (root() / path).exists(), f"{path} does not exist"
    program = words[0].rpartition("/")[2]
    if program in ("python", "-m"):
        check_python(words[words.index("-m") :] if "-m" in words else words[1:])
    elif program in PROGRAMS:
        PROGRAMS[program](words[1:])
    else:
        assert program in FOREIGN, f"{program} is no program that a page may name; see FOREIGN"


# -- programs ----------------------------------------------------------------------------------------------------------


def check_make(words: Sequence[str]) -> None:
    makefile = (root() / "Makefile").read_text()
    for word in words:
        name, assigned, _ = word.partition("=")
        wanted = rf"\$\({name}\)" if assigned else rf"^{name}:"
        assert re.search(wanted, makefile, re.MULTILINE), f"the Makefile has no {name}"


def check_recstage(words: Sequence[str]) -> None:
    if not words or len(words) == 1 or words[0] in NOT_CALLED or words[-1] in ("--data", "..."):  # it is only spoken of
        words = [word for word in words if word != "..."] or ["status"]
        assert words[0].startswith("--") or words[0] in GROUP.commands, f"recstage has no {words[0]}"
        return
    try:
        assert app.main(words) == 0, f"recstage refuses {words}"
    except RecstageError as error:
        raise AssertionError(str(error)) from error


def check_mlflow(words: Sequence[str]) -> None:
    """`mlflow run` of an entry point is the subcommand of the same name, with its parameters as options."""
    if words[0] != "run":
        assert words[0] in ("ui", "server", "models", "db"), words
        return
    entry = words[words.index("-e") + 1] if "-e" in words else "main"
    assert entry in entry_points(), f"MLproject has no entry point {entry}"
    given = [words[at + 1] for at, word in enumerate(words) if word == "-P"]
    options = [word for pair in given for word in (f"--{pair.partition('=')[0]}", substituted(pair.partition("=")[2]))]
    first = POSITIONAL.get(entry)
    if first:
        at = options.index(f"--{first[0]}")
        options = [options[at + 1], *options[:at], *options[at + 2 :]]
    if len(first or ()) > 1:
        at = options.index(f"--{first[1]}")
        options = [options[0], options[at + 1], *options[1:at], *options[at + 2 :]]
    if entry in names_in("model"):
        check_recstage(["train", entry, *no_paths(options)])
    else:
        check_recstage([entry, *no_paths(options)])


def substituted(value: str) -> str:
    return EXAMPLES.get(value, value)


def no_paths(options: list[str]) -> list[str]:
    """Files of data that are the reader's stand for a data set."""
    return ["synthetic" if word.startswith("/") or word.startswith("path/") else word for word in options]


def check_python(words: Sequence[str]) -> None:
    if words[0] == "-c":
        compile(words[1], "<docs>", "exec")
        return
    if words[0] != "-m":
        assert (root() / words[0]).is_file(), f"{words[0]} does not exist"
        return
    module, arguments = words[1], list(words[2:])
    if module in ("pytest", "venv", "pip", "mkdocs", "http.server"):
        return
    if "..." in arguments:
        arguments.remove("...")
    if module == "serving":
        load([word for word in arguments if word != "--any-setting"])
    elif module == "serving.store":
        upper = {"FILE": "file.db", "REVISION": "base", "NAME": "recommender"}
        if arguments:
            store._parser().parse_args([upper.get(word, word) for word in plain(arguments)])
    elif module == "experiments.benchmarks":
        chosen = benchmarks._parser().parse_args(benchmarks._new_command(arguments))
        benchmarks.checked(chosen.names or chosen.only)
    elif module == "recstage":
        check_recstage(arguments)
    else:
        path = root() / ("src" if module.startswith("recstage") else "") / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), f"there is no module {module}"


def plain(arguments: list[str]) -> list[str]:
    """Without the brackets of what may be left out."""
    return [word.strip("[]") for word in arguments if word.strip("[].")]


def check_curl(words: Sequence[str]) -> None:
    """The route, its method, its parameters and its body are those of the OpenAPI document."""
    method, body, encoded, query, address = "", None, False, [], ""
    rest = iter(words)
    for word in rest:
        if word in ("-X", "--request"):
            method = next(rest)
        elif word in ("-d", "--data"):
            body = next(rest)
        elif word == "--data-urlencode":
            query.append(next(rest).partition("=")[0])
        elif word == "-G":
            encoded = True
        elif word in ("-H", "-o", "--max-time"):
            next(rest)
        elif not word.startswith("-"):
            address = word
    parts = urlsplit(address if "://" in address or address.startswith("...") else f"http://{address}")
    if not parts.path.startswith(("/api/", "/metrics", "/health")) and "/api/" not in parts.path:
        return
    path = parts.path.removeprefix("...") if parts.path.startswith("...") else parts.path
    query += [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    query = [name.partition("[")[0] for name in query]
    operation = operation_of(method or ("POST" if body and not encoded else "GET"), path)
    known = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
    assert set(query) <= known, f"{path} has no parameter {set(query) - known}"
    if body is not None:
        schema = next(iter(operation["requestBody"]["content"].values()))["schema"]
        jsonschema.validate(json.loads(body), {**schema, "components": document()["components"]})


@cache
def document() -> dict[str, Any]:
    return openapi()


def operation_of(method: str, path: str) -> dict[str, Any]:
    """The operation that answers a request."""
    for template, operations in document()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            assert method.lower() in operations, f"{path} does not answer {method}"
            return dict(operations[method.lower()])
    raise AssertionError(f"there is no route {path}")


def check_pytest(words: Sequence[str]) -> None:
    for word in words:
        assert word.startswith("-") or (root() / word.partition("::")[0]).exists(), f"{word} does not exist"


PROGRAMS: dict[str, Callable[[Sequence[str]], None]] = {
    "make": check_make,
    "recstage": check_recstage,
    "mlflow": check_mlflow,
    "curl": check_curl,
    "pytest": check_pytest,
}


# -- tests -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in pages() if list(commands_of(page))], ids=name_of)
def test_the_programs_take_the_commands_of_a_page(page, parse_only):
    if name_of(page) == "CHANGELOG.md":
        pytest.skip("it tells what earlier versions took")
    wrong = []
    for command in commands_of(page):
        try:
            check(command)
        except (AssertionError, RecstageError, SystemExit, jsonschema.ValidationError, StopIteration) as error:
            wrong.append(f"{command}\n    {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "make nothing",
        "make demo COLOUR=red",
        "recstage nothing",
        "recstage train alz --data synthetic",
        "recstage train als --data nowhere",
        "recstage promote --reson x",
        "recstage tune als --budget 10",
        "mlflow run . --env-manager local -e nothing",
        "mlflow run . --env-manager local -e promote -P reson=x",
        "mlflow run . --env-manager local -e als -P model.params.factor=3",
        "python -m serving --portt 9000",
        "python -m serving.store backup --kep 3",
        "python -m experiments.benchmarks --only nothing",
        "python -m nothing",
        "python experiments/nothing.py",
        "curl http://127.0.0.1:8000/api/nothing",
        "curl -X DELETE http://127.0.0.1:8000/api/model",
        "curl 'http://127.0.0.1:8000/api/recommendations?user=42'",
        "curl -X POST http://127.0.0.1:8000/api/interactions -d '{\"user_id\": 1}'",
        "cp conf/deploy/nothing.env .env",
        "pytest tests/nothing",
        "rm -rf data",
    ],
)
def test_a_wrong_command_is_found(text, parse_only):
    with pytest.raises((AssertionError, RecstageError, SystemExit, jsonschema.ValidationError)):
        check(Command("here", text))


def test_the_commands_are_read():
    found = all_commands()
    assert len(found) > 300
    assert {"make demo", "recstage promote"} <= {
        " ".join(words) for one in found for words in simple_commands(one.text)
    }


def test_make_help_lists_every_target():
    told = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=root(), capture_output=True, text=True, check=True
    ).stdout
    targets = re.findall(r"^([a-z-]+):", (root() / "Makefile").read_text(), re.MULTILINE)
    assert {line.split()[0] for line in told.splitlines()} == set(targets)


def helped() -> Iterator[list[str]]:
    """`--help` of everything that the docs name."""
    yield ["--help"]
    for command in all_commands():
        for words in simple_commands(command.text):
            if words[0] == "recstage" and "--help" in words:
                yield [EXAMPLES.get(word, word) for word in words[1:]]


@pytest.mark.parametrize("words", list(helped()), ids=" ".join)
def test_help_is_given(words, capsys):
    assert app.main(words) == 0
    assert "recstage" in capsys.readouterr().out


def test_the_loop_takes_the_options_that_the_docs_name():
    with pytest.raises(SystemExit) as ended:
        loop.main(["--help"])
    assert ended.value.code == 0
