"""The success rate of retrainings for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recstage.config.retraining import NotifyConfig
from recstage.steps.notification import write_metrics_file
from recstage.tracking.journal import DONE, Past

SUCCESS_RATE, LAST_SUCCESS = "recstage_pipeline_success_rate", "recstage_pipeline_last_success_timestamp_seconds"
HELP = {
    SUCCESS_RATE: "Share of the last retrainings that ended well.",
    LAST_SUCCESS: "When a retraining last ended well; 0: never.",
}


@dataclass(frozen=True)
class Rate:
    """Of the retrainings of one registered model: the share that ended well (1 where none has ended), and when the last
    of those began, in milliseconds since 1970 (0: never)."""

    share: float
    last_success_ms: int

    @classmethod
    def of(cls, ended: Sequence[Past]) -> Rate:
        """From those that ended, the newest first."""
        good = [one for one in ended if one.state == DONE]
        return cls(len(good) / len(ended) if ended else 1.0, good[0].at if good else 0)


def write_metrics(config: NotifyConfig, rates: Mapping[str, Rate]) -> None:
    """The rates by registered model as a file that a scrape never sees half written. A path that cannot be written is
    logged."""
    values = {
        SUCCESS_RATE: {name: str(rate.share) for name, rate in rates.items()},
        LAST_SUCCESS: {name: str(rate.last_success_ms // 1000) for name, rate in rates.items()},
    }
    lines = []
    for metric, of in values.items():
        lines += [f"# HELP {metric} {HELP[metric]}", f"# TYPE {metric} gauge"]
        lines += [f'{metric}{{name="{name}"}} {value}' for name, value in of.items()]
    write_metrics_file(config.metrics_file, "\n".join(lines) + "\n")
