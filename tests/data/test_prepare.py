"""The step that makes a data set ready and says what it holds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from recstage.config import DataConfig
from recstage.data import dataset
from recstage.steps.prepare import prepare


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "root", lambda: tmp_path)


def test_it_counts_and_fills_the_cache(small_config: DataConfig, tmp_path: Path) -> None:
    result = prepare(small_config)

    assert (result.data, result.split, result.users, result.items) == ("small", "leave-one-out", 120, 60)
    assert result.train + result.validation + result.test == result.pairs
    assert (tmp_path / "data" / f"small-{result.fingerprint}" / "dataset.json").exists()
    assert prepare(small_config).fingerprint == result.fingerprint


def test_its_result_is_plain_json(small_config: DataConfig) -> None:
    assert json.loads(json.dumps(dataclasses.asdict(prepare(small_config))))["rows"] == 4000
