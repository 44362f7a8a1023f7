"""Subcommands that become another program: the service, the MLflow UI, JupyterLab, batch jobs over its database."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from recstage.commands.calls import PASS_ON, mlflow_line, options, say
from recstage.config import root
from recstage.config.naming import model_name
from recstage.errors import ConfigError

SERVICE_PORT = "8000"


def add_to(app: typer.Typer) -> None:
    """Register the subcommands."""
    for command in (serve, precompute, classify, ui, lab):
        app.command(context_settings=PASS_ON)(command)


def serve(
    ctx: typer.Context,
    port: Annotated[str | None, typer.Option(help="to listen on  [8000]")] = None,
    name: Annotated[str | None, typer.Option(help="registered model that is served  [recommender]")] = None,
) -> None:
    """The service on whatever is Production: http://127.0.0.1:8000/docs. It follows promotions within two seconds.

    Its settings are options by their names: docs/service.md.
    """
    _check_name(name)
    named = [] if name is None else ["--model_name", name, "--reverse_model_name", f"{name}-reverse"]
    _answer(ctx, f"http://127.0.0.1:{port or SERVICE_PORT}")
    _become([sys.executable, "-m", "serving", *options(port=port), *named, *ctx.args])


def precompute(ctx: typer.Context, name: Annotated[str | None, typer.Option(help="registered model")] = None) -> None:
    """Store lists by the Production version for every user it knows, for slow models."""
    _batch("precompute", name, ctx.args)


def classify(
    ctx: typer.Context, name: Annotated[str | None, typer.Option(help="registered model  [item-classifier]")] = None
) -> None:
    """Categories by the classifier in Production for the stored items without any of their own. The least sure join the
    queue of those to label."""
    _batch("classify", name, ctx.args)


def _batch(command: str, name: str | None, arguments: Sequence[str]) -> None:
    _check_name(name)
    words = [*options(name=name), *arguments]
    say(f"same as: {mlflow_line(command, words)}")
    _become([sys.executable, "-m", "serving.store", command, *words])


def ui(ctx: typer.Context, port: Annotated[str, typer.Option(help="to listen on")] = "5000") -> None:
    """The MLflow UI on this repository's runs and versions: http://127.0.0.1:5000."""
    from recstage.tracking import experiment, experiment_page, store_uri

    base = f"http://127.0.0.1:{port}"
    address = experiment_page.view_address(base, experiment().experiment_id)
    registered = experiment_page.models_address(base)
    say(f"models, best first: {address}")
    say(f"registered models and their versions: {registered}")
    _answer(ctx, base, models=address, registered=registered)
    _become([_program("mlflow"), "ui", "--backend-store-uri", store_uri(), "--port", port, *ctx.args])


def lab(ctx: typer.Context) -> None:
    """JupyterLab on the notebooks."""
    _answer(ctx, "http://127.0.0.1:8888/lab")
    _become([_program("jupyter"), "lab", "--notebook-dir", "notebooks", *ctx.args])


def _check_name(name: str | None) -> None:
    """Raises `ConfigError` on what no registered model may be called."""
    try:
        model_name(name or "")
    except ValueError as error:
        raise ConfigError(f"--name {name}", rule=str(error), fix="Give the name of a registered model") from error


def _program(name: str) -> str:
    """A program of this environment. Raises `ConfigError` where it is not installed."""
    path = Path(sys.executable).with_name(name)
    if not path.is_file():
        raise ConfigError(f"recstage needs {name}", rule="it is not installed here", fix="Install it: make setup")
    return str(path)


def _answer(ctx: typer.Context, url: str, **more: str) -> None:
    """With `--json`: where the program will be, as one line, before it starts."""
    if ctx.obj.as_json:
        print(json.dumps({"url": url, **more}), flush=True)  # noqa: T201


def _become(command: Sequence[str]) -> None:
    say(f"same as: {shlex.join(command)}")
    sys.stdout.flush()
    os.chdir(root())
    os.execv(command[0], list(command))
