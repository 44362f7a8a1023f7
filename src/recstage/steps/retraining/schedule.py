"""The scheduler: looks at fixed intervals whether a retraining is due, each time in a process of its own.

APScheduler keeps the time: a look that takes longer than the interval is not doubled, and looks missed while the
machine slept are made up for by one.
"""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler

from recstage import tracking
from recstage.config import read_yaml, resolve, root
from recstage.config.steps import ScheduleSettings
from recstage.steps import notification
from recstage.steps.retraining import hosts

END_SECONDS = 30.0

log = logging.getLogger(__name__)


@dataclass
class ScheduleResult:
    """Looks made, each of every direction; how many retrainings and updates came of them, and how many failed; the
    outcome of the last."""

    looks: int = 0
    retrained: int = 0
    updated: int = 0
    failed: int = 0
    last: str = ""


def settings_from(arguments: Sequence[str] = ()) -> ScheduleSettings:
    """Settings from conf/retraining.yaml and the command line."""
    values = read_yaml(root() / "conf" / "retraining.yaml")
    defaults: dict[str, Any] = {
        name: values[name] for name in ("check_minutes", "update_hours", "notify") if name in values
    }
    defaults["directions"] = ["forward", *(["reverse"] if values.get("reverse") else [])]
    return resolve(ScheduleSettings, defaults, arguments, program="schedule")


def run(settings: ScheduleSettings) -> ScheduleResult:
    """Look now and then every `check_minutes`, until `looks` were made or the program is ended; a retraining that runs
    then is ended, too, and the next one goes on with it."""
    looking = _Looking(settings)
    scheduler = BackgroundScheduler(timezone="UTC")
    scheduler.add_job(
        looking.look,
        "interval",
        minutes=settings.check_minutes,
        next_run_time=datetime.now().astimezone(),
        max_instances=1,
        coalesce=True,
        misfire_grace_time=None,
    )
    scheduler.start()
    try:
        looking.done.wait()
    finally:
        looking.end()
        scheduler.shutdown(wait=True)
    return looking.result


class _Looking:
    """Runs `recstage retrain` and `recstage update`, and counts what came of them."""

    def __init__(self, settings: ScheduleSettings) -> None:
        self.settings, self.result, self.done = settings, ScheduleResult(), threading.Event()
        self._child: subprocess.Popen[str] | None = None
        self._hosts = hosts.election()
        self._lock = threading.Lock()
        self._updated_at = -math.inf

    def look(self) -> None:
        """One look; what goes wrong in it is counted and logged, and the next look comes all the same. Of the
        schedulers of several hosts one looks: when it ends, another does from its next look on."""
        if self.done.is_set():
            return
        self.result.looks += 1
        if self._hosts is None or self._hosts.holds(f"schedule of {self.settings.name}") or self._hosts.away:
            self._work()
        else:
            self.result.last = "the scheduler of another host looks"
            log.info("%s: %s", self.settings.name, self.result.last)
        if self.settings.looks and self.result.looks >= self.settings.looks:
            self.done.set()

    def _work(self) -> None:
        """Retrainings where they are due, else an update where that is."""
        before = self.result.retrained
        for direction in self.settings.directions:
            self._run("retrain", direction, "--direction", direction)
        if self.result.retrained == before and self._update_is_due():
            self._updated_at = time.monotonic()
            self._run("update", "forward")

    def _update_is_due(self) -> bool:
        hours = self.settings.update_hours
        return hours > 0 and time.monotonic() - self._updated_at >= hours * 3600 - self.settings.check_minutes * 30

    def _run(self, work: str, direction: str, *words: str) -> None:
        command = [sys.executable, "-m", "recstage", work, "--name", self.settings.name, *words, "--json"]
        with self._lock:
            if self.done.is_set():
                return
            self._child = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=root(),
                env=tracking.outside_environment(),
            )
        out, err = self._child.communicate()
        self._count(work, direction, self._child.returncode, out, err)

    def _count(self, work: str, direction: str, status: int, out: str, err: str) -> None:
        if status == 0:
            found = json.loads(out.strip().splitlines()[-1])
            self.result.retrained += work == "retrain" and bool(found["due"])
            self.result.updated += work == "update" and found["version"] is not None
            self.result.last = found["outcome"]
        else:
            self.result.failed += 1
            self.result.last = (err.strip().splitlines() or [f"exit {status}"])[-1]
            if status < 0 and not self.done.is_set():  # it could not tell it itself
                called = "retraining" if work == "retrain" else "update"
                error = f"the {direction} {called} was killed by signal {-status}: {self.result.last}"
                told = {"event": f"{called} failed", "name": self.settings.name, "error": error}
                notification.notify(self.settings.notify.webhook, self.settings.notify.command, told)
        log.info("%s (%s): %s", self.settings.name, direction, self.result.last)

    def end(self) -> None:
        """No further look; the one that runs is asked to end, and ended where it does not."""
        with self._lock:
            self.done.set()
            child = self._child
        if self._hosts is not None:
            self._hosts.close()
        if child is None or child.poll() is not None:
            return
        child.terminate()
        try:
            child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
