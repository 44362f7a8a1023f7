"""Tells a webhook or a command that a retraining failed, and writes the success rate for Prometheus."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from recstage.config.retraining import NotifyConfig

SECONDS = 10.0
METRICS = """\
# HELP recstage_pipeline_success_rate Share of the last retrainings that ended well.
# TYPE recstage_pipeline_success_rate gauge
recstage_pipeline_success_rate{{name="{name}"}} {rate}
# HELP recstage_pipeline_last_success_timestamp_seconds When a retraining last ended well; 0: never.
# TYPE recstage_pipeline_last_success_timestamp_seconds gauge
recstage_pipeline_last_success_timestamp_seconds{{name="{name}"}} {last}
"""

log = logging.getLogger(__name__)


def tell(config: NotifyConfig, message: Mapping[str, Any]) -> list[str]:
    """Send `message` to the webhook and the command. What fails of that is logged and returned, not raised: it must not
    hide what it was to tell."""
    text = json.dumps(dict(message))
    failed = []
    if config.webhook:
        try:
            headers = {"content-type": "application/json"}
            httpx.post(config.webhook, content=text, headers=headers, timeout=SECONDS).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failed.append(f"webhook {config.webhook}: {error or type(error).__name__}")
    if config.command:
        try:
            words = shlex.split(config.command)
            subprocess.run(words, input=text, text=True, timeout=SECONDS, check=True, capture_output=True)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            failed.append(f"command {config.command}: {error}")
    for one in failed:
        log.warning("the failure could not be told: %s", one)
    return failed


def write_metrics(config: NotifyConfig, name: str, rate: float, last_success_ms: int) -> None:
    """The success rate as a file that a scrape never sees half written. A path that cannot be written is logged."""
    if not config.metrics_file:
        return
    path = Path(config.metrics_file)
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".recstage-", delete=False) as partial:
            partial.write(METRICS.format(name=name, rate=rate, last=last_success_ms // 1000))
        os.chmod(partial.name, 0o644)
        os.replace(partial.name, path)
    except OSError as error:
        log.warning("%s: the success rate cannot be written (%s)", path, error.strerror)
