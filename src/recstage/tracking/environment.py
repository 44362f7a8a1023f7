"""The environment variables that MLflow reads, set for the process that uses it and not by an import.

MLflow decides about telemetry, and starts a thread that asks its server, while it is imported: hence this module is the
first of `tracking` and imports it with telemetry off. What MLflow reads later is set by `configure`, on the first
connection.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module

from recstage.progress import in_a_notebook

TELEMETRY_SWITCH = "MLFLOW_DISABLE_TELEMETRY"


def _import_without_telemetry() -> None:
    """Import MLflow with telemetry off unless the user has set the switch; the environment is afterwards as before."""
    if TELEMETRY_SWITCH in os.environ:
        import_module("mlflow")
        return
    os.environ[TELEMETRY_SWITCH] = "true"
    try:
        import_module("mlflow")
    finally:
        del os.environ[TELEMETRY_SWITCH]


def configure() -> None:
    """Telemetry off (also for child processes), no warning where git is missing, and no progress bar of artifacts where
    stderr is no terminal. What the user has set stays."""
    os.environ.setdefault(TELEMETRY_SWITCH, "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    if in_a_notebook():  # what MLflow and its migrations say would head the cells in red
        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
    if not sys.stderr.isatty():
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


_import_without_telemetry()
