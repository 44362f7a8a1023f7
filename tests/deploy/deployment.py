"""The parts of compose.yaml as plain processes on the loopback: its commands and settings, their values filled in."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from recstage.config import root

PATIENCE_SECONDS = 240.0
_VARIABLE = re.compile(r"\$\{(\w+)(?::\?[^}]*)?\}")


def folder() -> Path:
    """conf/deploy."""
    return root() / "conf" / "deploy"


def compose() -> dict[str, Any]:
    """compose.yaml."""
    found: dict[str, Any] = yaml.safe_load((folder() / "compose.yaml").read_text())
    return found


def pairs(name: str) -> dict[str, str]:
    """The variables of an env file of conf/deploy, as they stand there."""
    lines = (folder() / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with every ${NAME} replaced, as compose and envsubst do. Raises `KeyError` for one without a value."""
    return _VARIABLE.sub(lambda found: values[found[1]], text)


def filled_pairs(name: str, values: Mapping[str, str]) -> dict[str, str]:
    """The variables of an env file, filled in."""
    return {variable: filled(text, values) for variable, text in pairs(name).items()}


def command(dockerfile: str) -> list[str]:
    """What an image runs."""
    text = (folder() / dockerfile).read_text()
    found: list[str] = json.loads(re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)[-1])
    return found


def free_port() -> int:
    """A port of the loopback that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def until(condition: Callable[[], bool], what: str, process: Process) -> None:
    """Wait for a condition, or for the end of the process that should bring it about."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert not process.ended(), f"{what}: the process ended: {process.said()[-3000:]}"
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_SECONDS} s: {process.said()[-3000:]}"
        time.sleep(0.05)


class Process:
    """A program in a folder of its own, with its output in a file; ended with all that it started."""

    def __init__(self, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        words = [sys.executable if word == "python" else word for word in words]
        with log.open("w") as output:
            self._process = subprocess.Popen(
                words,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=root(),
                env={**os.environ, **environment, "PATH": path},
                start_new_session=True,
            )

    def said(self) -> str:
        return self._log.read_text()

    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> int:
        return self._process.wait(PATIENCE_SECONDS)

    def kill(self, sign: int) -> None:
        """Send a signal to it alone."""
        self._process.send_signal(sign)
        self._process.wait(PATIENCE_SECONDS)

    def stop(self) -> None:
        if not self.ended():
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
