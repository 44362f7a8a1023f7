"""From a command line to one step and back: exit status, one clear line for a mistake, one JSON line for the result.

Exit 0 done, 1 a fault of ours (with its traceback) or of an external program (one line), 2 wrong input, 3 refused by
the gate, 130 interrupted.
"""

from __future__ import annotations

import argparse
import atexit
import dataclasses
import gc
import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from recstage.errors import ConfigError, RecstageError

INTERRUPTED = 130


def main(
    step: Callable[[Sequence[str]], Any],
    arguments: Sequence[str] | None = None,
    *,
    show: Callable[[Any], str] | None = None,
    errors_as_json: bool = False,
) -> int:
    """Run `step(arguments)`: progress to stderr, the result to stdout, as its last line in JSON or as `show` writes it.
    With `errors_as_json` a mistake is told there, too. Returns the exit status."""
    _collect_less_garbage()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # MLflow sets its own level when it is imported
    for chatty in ("mlflow", "alembic", "optuna", "matplotlib", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)  # a lost sample is no news
    warnings.filterwarnings("ignore", category=FutureWarning, module="mlflow")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = step(sys.argv[1:] if arguments is None else arguments)
    except RecstageError as error:
        sys.stdout.flush()
        print(f"recstage: {error}", file=sys.stderr)  # noqa: T201
        if errors_as_json:
            print(json.dumps(error_body(error)), flush=True)  # noqa: T201
        _describe_run(str(error), error)
        return error.exit_code
    except KeyboardInterrupt as stopped:  # its notes say what was kept
        print("; ".join(["recstage: interrupted", *getattr(stopped, "__notes__", [])]), file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    _describe_run(json.dumps(plain(result), indent=1))
    print(json.dumps(plain(result)) if show is None else show(result), flush=True)  # noqa: T201
    return 0


def _describe_run(outcome: str, error: RecstageError | None = None) -> None:
    """Under `mlflow run`: what its run came to, where no step has taken it over."""
    if "MLFLOW_RUN_ID" in os.environ:
        from recstage import tracking

        tracking.describe_untaken(" ".join(outcome.split()) if error else outcome, error)


def error_body(error: RecstageError) -> dict[str, Any]:
    """A mistake for a program: what was given, the rule, the fix, the sentence of the three, and the exit status."""
    told = {"given": error.given, "rule": error.rule, "fix": error.fix, "message": str(error)}
    return {"error": told, "exit": error.exit_code}


def step_of(module: str) -> Callable[[Sequence[str]], Any]:
    """The step `module.run(module.settings_from(arguments))`, imported when it is called: `main` prepares the process
    for those imports first."""

    def step(arguments: Sequence[str]) -> Any:
        steps = import_module(module)
        return steps.run(steps.settings_from(arguments))

    return step


def named(arguments: Sequence[str], **defaults: str | None) -> tuple[dict[str, str], list[str]]:
    """Takes options such as `--data NAME` out of `arguments`: their values (or defaults), and the rest.

    These choose the YAML files, which decide what the other options may be. Raises `ConfigError` where one without a
    default is missing.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", default=default)
    try:
        found, rest = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise ConfigError(str(error), rule="an option has one value", fix="Give it, or leave the option out") from error
    for name, value in vars(found).items():
        if value is None:
            raise ConfigError(f"no --{name}", rule="it must be named", fix=f"Give --{name} NAME")
    return vars(found), rest


def plain(value: Any) -> Any:
    """A result as JSON knows it: dataclasses and schemas by field, arrays as lists, times as ISO 8601, NaN as null."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value


def _collect_less_garbage() -> None:
    """The imports of a step make a million objects that stay: looking for garbage among them took a second at the start
    and another one at the end of the process."""
    gc.set_threshold(50_000, 20, 50)
    atexit.register(gc.freeze)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
