"""Writes the success rate of retrainings for Prometheus."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from recstage.config.retraining import NotifyConfig

METRICS = """\
# HELP recstage_pipeline_success_rate Share of the last retrainings that ended well.
# TYPE recstage_pipeline_success_rate gauge
recstage_pipeline_success_rate{{name="{name}"}} {rate}
# HELP recstage_pipeline_last_success_timestamp_seconds When a retraining last ended well; 0: never.
# TYPE recstage_pipeline_last_success_timestamp_seconds gauge
recstage_pipeline_last_success_timestamp_seconds{{name="{name}"}} {last}
"""

log = logging.getLogger(__name__)


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
