"""The installation of version 0.1, unpacked anew for whoever asks, and programs of the present code run on it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ARCHIVE = Path(__file__).with_name("installation-0.1.tar.xz")
MADE_AT = "/srv/recstage"
CODE = Path(__file__).parents[2]
SECONDS = 120


@dataclass(frozen=True)
class Done:
    """An ended program; `result` is the JSON object of its last line, None where it ended in an error."""

    status: int
    result: Any
    messages: str


@dataclass(frozen=True)
class Installation:
    """An installation on disk, with what version 0.1 answered from it."""

    home: Path
    recorded: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        outer = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "RECSTAGE_"))}
        return {
            **outer,
            "RECSTAGE_HOME": str(self.home),
            "PYTHONPATH": f"{CODE / 'src'}{os.pathsep}{CODE}",
            "OMP_NUM_THREADS": "1",
        }

    def run(self, *words: object) -> Done:
        """Run Python with these words: a script of the present code, or `-m` and a module."""
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        return Done(done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout else None, done.stderr)

    def step(self, name: str, *options: object) -> Any:
        """The result of an entry point, which must succeed."""
        done = self.run(CODE / "experiments" / f"{name}.py", *options)
        assert done.status == 0, done.messages
        return done.result


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Installation]:
    """Unpacks the installation into a folder of its own, where its database then looks for the artifacts."""

    def unpack() -> Installation:
        home = tmp_path_factory.mktemp("installation")
        with tarfile.open(ARCHIVE) as packed:
            packed.extractall(home, filter="tar")
        move_artifacts(home)
        return Installation(home, json.loads((home / "answers.json").read_text()))

    return unpack


@pytest.fixture(scope="module")
def installation(unpacked: Callable[[], Installation]) -> Installation:
    """One that the tests of a module share: a test leaves it as it found it."""
    return unpacked()


def move_artifacts(home: Path) -> None:
    """Put `home` where the database and the logged models name the folder that they were made in."""
    with sqlite3.connect(home / "mlflow.db") as database:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
            ("model_versions", "storage_location"),
        ):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (MADE_AT, str(home)))
    database.close()
    for path in home.glob("mlruns/*/models/*/artifacts/MLmodel"):
        path.write_text(path.read_text().replace(MADE_AT, str(home)))
