"""Evaluates the conditions: at once for a route, and every second for the metrics and the log."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import multiprocess

from serving.health.conditions import ActiveCondition, Condition
from serving.monitoring.metrics import Metrics

log = logging.getLogger("serving.health")
EVALUATE_SECONDS = 1.0
Check = Callable[[], Iterable[ActiveCondition]]
"""Which conditions hold now, of one part of the service. May read the database."""


class HealthMonitor:
    """One list of conditions; a thread keeps the gauge up to date and logs where a condition begins and ends."""

    def __init__(self, metrics: Metrics, checks: Iterable[Check]) -> None:
        self._gauge, self._checks = metrics.conditions, list(checks)
        self._known: dict[tuple[Condition, str], ActiveCondition] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="health-monitor", daemon=True)

    def add(self, check: Check) -> None:
        """Evaluate one more check from now on."""
        self._checks.append(check)

    def current(self) -> list[ActiveCondition]:
        """The conditions that hold now; empty when everything works."""
        found = [active for check in self._checks for active in check()]
        self._record(found)
        return found

    def start(self) -> None:
        for condition in Condition:
            self._gauge.labels(condition.label, "").set(0)
        self._thread.start()

    def stop(self) -> None:
        """Stop, and leave no condition behind in the metrics of other workers."""
        self._stop.set()
        self._thread.join(timeout=10)
        self._record([])

    def _follow(self) -> None:
        while not self._stop.wait(EVALUATE_SECONDS):
            try:
                self.current()
                _forget_dead_workers()
            except Exception:  # the thread must survive any error of a disk or a database
                log.exception("health was not evaluated", extra={"event": "health-failed"})

    def _record(self, found: Iterable[ActiveCondition]) -> None:
        now = {(one.condition, one.model): one for one in found}
        with self._lock:
            for key, active in now.items():
                if key not in self._known:
                    self._gauge.labels(active.condition.label, active.model).set(1)
                    log.warning(active.sentence, extra=_entry("condition-began", active))
            for key, active in self._known.items():
                if key not in now:
                    self._gauge.labels(active.condition.label, active.model).set(0)
                    log.info(active.condition.text, extra=_entry("condition-ended", active))
            self._known = now


def _entry(event: str, active: ActiveCondition) -> dict[str, str]:
    return {
        "event": event,
        "condition": active.condition.label,
        "model": active.model,
        "detail": active.detail,
        "remedy": active.condition.remedy,
    }


def _forget_dead_workers() -> None:
    """Remove the gauges of workers that were killed: what they reported last would hold for ever."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    for path in Path(folder).glob("gauge_live*_*.db") if folder else ():
        pid = path.stem.rpartition("_")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            multiprocess.mark_process_dead(int(pid))
