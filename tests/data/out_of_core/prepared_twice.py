"""One data set prepared in memory and out of core, and what the two have to have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recstage.config import DataConfig, MinimumConfig
from recstage.data.dataset import Dataset, load

WEIGHTS = {"view": 0.1, "click": 0.3, "like": 0.7, "share": 1.0, "rate": {"low": 0.0, "high": 1.0, "full": 5}}


def config(source: Any, **options: Any) -> DataConfig:
    values: dict[str, Any] = {
        "name": "shop",
        "source": source,
        "weights": WEIGHTS,
        "negative_types": ("dismiss",),
        "default_weight": None,
        "minimum": MinimumConfig(interactions=1),
    }
    return DataConfig(**{**values, **options})


def prepared_twice(wanted: DataConfig, folder: Path) -> tuple[Dataset, Dataset]:
    """In memory and by DuckDB; fails where a file of the first is not byte for byte in the second."""
    found = []
    for engine in ("memory", "duckdb"):
        load(wanted.model_copy(update={"engine": engine}), cache=folder / engine)
        found.append(load(wanted.model_copy(update={"engine": engine}), cache=folder / engine))  # from the cache
    ours, theirs = ({file.name: file for file in (folder / name).glob("*-*/*")} for name in ("memory", "duckdb"))
    contents = {"dataset.json"}  # lists the arrays as well
    different = [
        name
        for name, file in ours.items()
        if name not in contents and (name not in theirs or theirs[name].read_bytes() != file.read_bytes())
    ]
    assert different == []
    return found[0], found[1]


def assert_same_rows(in_memory: Dataset, out_of_core: Dataset) -> None:
    """The parts, what models fit on, its matrix, and the candidates."""
    for name in ("train", "validation", "test", "train_and_validation"):
        mine, theirs = getattr(in_memory.split, name), getattr(out_of_core.split, name)
        assert mine.fingerprint == theirs.fingerprint
        assert np.array_equal(mine.indptr, theirs.indptr)
        matrix, mapped = mine.matrix, theirs.matrix
        assert (matrix != mapped).nnz == 0
        assert np.array_equal(matrix.indices, mapped.indices)
        assert mine.profiles.keys() == theirs.profiles.keys()
    assert in_memory.report == out_of_core.report
    assert in_memory.fingerprint == out_of_core.fingerprint
    if in_memory.split.negatives is None:
        assert out_of_core.split.negatives is None
    else:
        assert np.array_equal(in_memory.split.negatives, out_of_core.split.negatives)
