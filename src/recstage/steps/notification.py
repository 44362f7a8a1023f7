"""Tells a webhook and a command that something happened, and Prometheus how it stands."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from recstage.config import check, read_yaml, root
from recstage.config.retraining import NotifyConfig
from recstage.errors import GateRefused, RecstageError

SECONDS = 10.0

log = logging.getLogger(__name__)


def notify(webhook: str, command: str, message: Mapping[str, Any]) -> list[str]:
    """Send `message` as JSON to the webhook (POST) and to the command (standard input), each where it is not empty.

    What fails of that is logged and returned, not raised: it must not hide what it was to tell.
    """
    text = json.dumps(dict(message))
    failed = []
    if webhook:
        try:
            headers = {"content-type": "application/json"}
            httpx.post(webhook, content=text, headers=headers, timeout=SECONDS).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failed.append(f"webhook {webhook}: {error or type(error).__name__}")
    if command:
        try:
            words = shlex.split(command)
            subprocess.run(words, input=text, text=True, timeout=SECONDS, check=True, capture_output=True)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            failed.append(f"command {command}: {error}")
    for one in failed:
        log.warning("%s could not be told: %s", message.get("event", "an event"), one)
    return failed


def configured() -> NotifyConfig:
    """The section `notify` of conf/retraining.yaml; empty where there is none. Raises `ConfigError` on a wrong one."""
    path = root() / "conf" / "retraining.yaml"
    values = read_yaml(path).get("notify") if path.is_file() else None
    return check(NotifyConfig, values or {}, str(path))


@contextmanager
def told_on_failure(config: NotifyConfig, event: str, name: str) -> Iterator[None]:
    """Tell of what ends the body with an error, which passes on; a refusal of the gate is an answer, no failure."""
    try:
        yield
    except GateRefused:
        raise
    except Exception as error:
        message = str(error) if isinstance(error, RecstageError) else f"{type(error).__name__}: {error}"
        notify(config.webhook, config.command, {"event": event, "name": name, "error": " ".join(message.split())})
        raise


def write_metrics_file(path: str, text: str) -> None:
    """Metrics for the node exporter (textfile collector), as a file that a scrape never sees half written; nothing
    where no path is given. A path that cannot be written is logged."""
    if not path:
        return
    try:
        with tempfile.NamedTemporaryFile("w", dir=Path(path).parent, prefix=".recstage-", delete=False) as partial:
            partial.write(text)
        os.chmod(partial.name, 0o644)
        os.replace(partial.name, path)
    except OSError as error:
        log.warning("%s: metrics cannot be written (%s)", path, error.strerror)
