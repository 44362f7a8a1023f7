"""The libraries of the field, each in an environment of its own: RecBole needs an older NumPy than LensKit.

An environment is made below `data/peers` from `experiments/peers/ENVIRONMENT.txt` on first use; a program there reads
rows and prints one JSON line.
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
from recstage.errors import StoreError


def ask(environment: str, program: str, rows: dict[str, Interactions], *numbers: object) -> dict[str, Any]:
    """What `experiments/peers/PROGRAM.py` prints, given `numbers` and a folder with NAME.csv (columns user, item,
    weight; histories in order) for each of `rows`. Raises `StoreError` where it cannot be installed or fails."""
    python = _environment(environment)
    with tempfile.TemporaryDirectory() as folder:
        for name, some in rows.items():
            columns = {"user": some.user_index, "item": some.item_index, "weight": some.weight}
            pd.DataFrame(columns).to_csv(Path(folder) / f"{name}.csv", index=False)
        script = root() / "experiments" / "peers" / f"{program}.py"
        done = subprocess.run(
            [python, script, folder, *map(str, numbers)], capture_output=True, text=True, cwd=folder, check=False
        )
    if done.returncode:
        raise StoreError(
            program, rule=f"its program failed ({done.stderr.strip()[-300:]})", fix=f"See data/peers/{environment}"
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _environment(name: str) -> Path:
    """The Python of an environment."""
    folder = root() / "data" / "peers" / name
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "ready").is_file():
            venv.create(folder, with_pip=True, clear=True)
            wanted = root() / "experiments" / "peers" / f"{name}.txt"
            done = subprocess.run(
                [python, "-m", "pip", "install", "-q", "-r", wanted], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise StoreError(
                    f"the environment of {name}", rule=done.stderr.strip()[-300:], fix="Check the package index"
                )
            (folder / "ready").touch()
    return python
