"""Other libraries, each in an environment of its own: RecBole needs an older NumPy than LensKit.

An environment is made below `data/libraries` from `experiments/libraries/ENVIRONMENT.txt` on first use; a program there
reads rows from files and its options as JSON from stdin, and prints one JSON line.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import venv
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from recstage.config import root
from recstage.data.interactions import Interactions
from recstage.errors import ExternalToolError


def run_program(environment: str, program: str, rows: dict[str, Interactions], **options: float) -> dict[str, Any]:
    """What `experiments/libraries/PROGRAM.py` prints, given a folder with NAME.csv (columns user, item, weight;
    histories in order) for each of `rows`, and `options` as one JSON object on stdin. Raises `ExternalToolError` where
    the environment cannot be installed or the program fails."""
    python = _environment(environment)
    with tempfile.TemporaryDirectory() as folder:
        for name, some in rows.items():
            columns = {"user": some.user_index, "item": some.item_index, "weight": some.weight}
            pd.DataFrame(columns).to_csv(Path(folder) / f"{name}.csv", index=False)
        script = root() / "experiments" / "libraries" / f"{program}.py"
        command = [str(python), str(script), folder]
        printed = run_tool(command, program, f"See data/libraries/{environment}", given=json.dumps(options), cwd=folder)
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def run_tool(command: list[str], name: str, fix: str, *, given: str = "", **options: Any) -> str:
    """What `command` prints, given `given` on stdin; `options` are those of `subprocess.run`. Raises
    `ExternalToolError` with the end of its stderr where it cannot be started or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, input=given, check=False, **options)
    except OSError as error:
        raise ExternalToolError(name, rule=f"it cannot be started ({error.strerror})", fix=fix) from error
    if done.returncode:
        last = done.stderr.strip()[-300:]
        raise ExternalToolError(name, rule=f"it ended with status {done.returncode} ({last})", fix=fix)
    return done.stdout


def _environment(name: str) -> Path:
    """The Python of an environment."""
    folder = root() / "data" / "libraries" / name
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "ready").is_file():
            venv.create(folder, with_pip=True, clear=True)
            required = root() / "experiments" / "libraries" / f"{name}.txt"
            command = [str(python), "-m", "pip", "install", "-q", "-r", str(required)]
            run_tool(command, f"the environment of {name}", "Check the package index")
            (folder / "ready").touch()
    return python
