"""What the tests of the steps share."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from recstage import tracking


@pytest.fixture
def client(workspace: Path) -> mlflow.MlflowClient:
    """A client of the workspace's store."""
    return tracking.connect()
