"""Keeps one sync process alive for all workers on this machine.

Reading the registry imports MLflow: seconds of processor time and some 170 MB that the workers do not spend. Each
worker runs this thread; the one that holds the lock starts `python -m serving.models.registry_sync`, restarts it when
it dies, and ends it with itself (its standard input closes). When that worker ends, another takes the lock.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

from filelock import FileLock, Timeout

from recstage.config import root
from serving.models.backoff import Backoff
from serving.models.repository import RESTART
from serving.monitoring.logging import LOG_LEVEL
from serving.settings import ServingSettings

log = logging.getLogger("serving.models.sync_process")
PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "AWS_MAX_ATTEMPTS": "2",  # of a minute each, where the artifact store is spoken to directly
}
"""MLflow tries for minutes by itself: the sync process polls again anyway, and tells what it waits for."""


class SyncSupervisor:
    """The thread in one worker that may run the sync process."""

    def __init__(self, settings: ServingSettings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._lock = FileLock(settings.bundle_root / "watcher.lock", timeout=0)
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="sync-supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=15)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._lock:
                    self._lead()
            except Timeout:  # another worker leads
                self._stop.wait(PAUSE_SECONDS)

    def _lead(self) -> None:
        backoff, restarts = Backoff(PAUSE_SECONDS, LONGEST_PAUSE_SECONDS), 0
        while not self._stop.is_set():
            child = self._child = self._spawn()
            while child.poll() is None and not self._stop.wait(0.2):
                pass
            if self._stop.is_set():
                _end(child)
                return
            if child.poll() == RESTART:
                continue
            log.error(
                "the sync process ended; it is started again", extra={"event": "watcher-ended", "status": child.poll()}
            )
            restarts += 1
            self._stop.wait(backoff.pause(restarts))

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings = self._settings
        command = [
            sys.executable,
            "-m",
            "serving.models.registry_sync",
            str(settings.bundle_root),
            str(settings.poll_seconds),
        ]
        names = [settings.model_name, settings.reverse_model_name, settings.classifier_name]
        # one thread for numerical libraries: this process computes nothing
        environment = {
            **PATIENCE,
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            LOG_LEVEL: settings.log_level,
        }
        return subprocess.Popen([*command, *names], cwd=root(), env=environment, stdin=subprocess.PIPE)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        child.stdin.close()
    try:
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
