"""The success rate of retrainings for Prometheus."""

from __future__ import annotations

from recstage.config.retraining import NotifyConfig
from recstage.steps.notification import write_metrics_file

METRICS = """\
# HELP recstage_pipeline_success_rate Share of the last retrainings that ended well.
# TYPE recstage_pipeline_success_rate gauge
recstage_pipeline_success_rate{{name="{name}"}} {rate}
# HELP recstage_pipeline_last_success_timestamp_seconds When a retraining last ended well; 0: never.
# TYPE recstage_pipeline_last_success_timestamp_seconds gauge
recstage_pipeline_last_success_timestamp_seconds{{name="{name}"}} {last}
"""


def write_metrics(config: NotifyConfig, name: str, rate: float, last_success_ms: int) -> None:
    """The success rate as a file that a scrape never sees half written. A path that cannot be written is logged."""
    text = METRICS.format(name=name, rate=rate, last=last_success_ms // 1000)
    write_metrics_file(config.metrics_file, text)
