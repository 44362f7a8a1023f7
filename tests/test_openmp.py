"""Threads that wait for each other let others work."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = "import recstage, os; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "5000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "None")],
)
def test_how_long_threads_spin_is_set_unless_somebody_has_chosen(given: dict[str, str], found: str) -> None:
    bare = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**bare, **given}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == found
