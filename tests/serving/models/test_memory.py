"""A bundle that does not fit into memory is refused before it is loaded."""

from __future__ import annotations

import psutil
import pytest

from recstage.errors import BundleError
from serving.models import memory


def test_the_least_of_machine_and_container_is_available(tmp_path):
    assert memory.available_bytes(tmp_path) == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert memory.available_bytes(tmp_path) == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes(tmp_path) > 10_000
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory.available_bytes(tmp_path) == 0


def test_a_bundle_that_does_not_fit_is_refused_with_both_figures(tmp_path, monkeypatch):
    (tmp_path / "state.npz").write_bytes(bytes(3 * 2**20))
    monkeypatch.setattr(memory, "available_bytes", lambda: 5 * 2**20)
    with pytest.raises(BundleError, match="needs about 6 MB, and 5 MB are available"):
        memory.check_fits(tmp_path)
    monkeypatch.setattr(memory, "available_bytes", lambda: 7 * 2**20)
    memory.check_fits(tmp_path)
