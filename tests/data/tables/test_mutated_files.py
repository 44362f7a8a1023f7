"""Whatever a file looks like: no traceback, one line for what is refused, and no row unaccounted for."""

from __future__ import annotations

from pathlib import Path

import pytest

from recstage.config import DataConfig, check
from recstage.data import sources, validation
from recstage.data.catalogue import Catalogue
from recstage.data.dataset import config_of, load
from recstage.data.interactions import IdMap
from recstage.data.sources.item_files import read_items
from recstage.errors import RecstageError
from tests.data.tables import mutated_files

pytestmark = pytest.mark.slow

FILES, BLOCKS = 1000, 4
WEIGHTS = {"weights": {"view": 0.1}, "default_weight": 1.0, "minimum": {"interactions": 1}}


def config_for(path: Path) -> DataConfig:
    config: DataConfig = check(DataConfig, config_of(str(path)) | WEIGHTS, "mutated")
    return config


@pytest.mark.parametrize(
    "block", [0, *(pytest.param(block, marks=pytest.mark.integration) for block in range(1, BLOCKS))]
)
def test_rows_of_a_thousand_mutated_files_are_kept_or_counted(block: int, tmp_path: Path) -> None:
    seeds = range(block, FILES, BLOCKS)
    refusals: list[str] = []
    wrong: dict[int, str] = {}
    known = 0
    for seed in seeds:
        file = mutated_files.write(seed, tmp_path / str(seed))
        try:
            config = config_for(file.path)
            _, findings = validation.clean(sources.read(sources.located(config.source, tmp_path)), config)
        except RecstageError as error:
            refusals.append(str(error))
            continue
        known += file.rows is not None
        if file.rows not in (None, findings.rows) or findings.rows != findings.kept + sum(findings.dropped.values()):
            wrong[seed] = f"{findings.rows} read of {file.rows}, {findings.kept} kept, {findings.dropped}"
    assert wrong == {}
    assert [one for one in refusals if "\n" in one] == []
    assert known >= 5
    assert len(refusals) < len(seeds) * 0.7


def test_mutated_files_are_prepared_to_the_end(tmp_path: Path) -> None:
    prepared = 0
    for seed in range(40):
        file = mutated_files.write(seed, tmp_path / str(seed))
        try:
            dataset = load(config_for(file.path), cache=tmp_path / "cache")
        except RecstageError:
            continue
        assert dataset.report["rows"] == dataset.report["kept"] + sum(dataset.report["dropped"].values())
        prepared += 1
    assert prepared > 8


@pytest.mark.integration
def test_mutated_files_are_survived_as_items_files_too(tmp_path: Path) -> None:
    described = 0
    for seed in range(FILES, FILES + 200):
        file = mutated_files.write(seed, tmp_path / str(seed))
        try:
            items = read_items(file.path)
        except RecstageError:
            continue
        assert items.frame["item_id"].is_unique
        frame = Catalogue.from_frame(items.frame, IdMap(items.frame["item_id"].to_numpy(object))).to_frame()
        assert len(frame) == len(items.frame)
        described += 1
    assert described > 100
