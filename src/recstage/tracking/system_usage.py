"""What the machine did during a run, as the table `system_metrics.csv`.

As metrics, MLflow would put the eight of them before the figures of the model: on the run's page, in its comparison,
and among the metrics of the logged model.
"""

from __future__ import annotations

import time

import pandas as pd
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

TABLE = "system_metrics"


class SystemUsage(SystemMetricsMonitor):
    """MLflow's sampling of processor, memory, disk, network and accelerator, kept instead of logged."""

    def __init__(self, run_id: str, seconds: float) -> None:
        super().__init__(run_id, sampling_interval=seconds)
        self._started, self._rows = time.monotonic(), list[dict[str, float]]()

    def publish_metrics(self, metrics: dict[str, float]) -> None:
        """Keep one sample."""
        self._rows.append({"seconds": round(time.monotonic() - self._started, 1), **metrics})
        for monitor in self.monitors:
            monitor.clear_metrics()

    def table(self) -> pd.DataFrame:
        """The samples, a row each: seconds since the start, and what was measured."""
        return pd.DataFrame(self._rows)
