"""What the comparisons with other libraries share: a row of the table, the data, the clock, the common parameters."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recstage.config import DataConfig, check
from recstage.data import dataset
from recstage.data.dataset import Dataset
from recstage.data.interactions import Interactions

ROUNDS = 5
"""Repetitions of a short measurement."""
NEUMF = {"factors": 32, "batch": 4096, "negatives": 4}
"""NeuMF as it is compared with RecBole: factors, rows a batch, negatives a positive."""


@dataclass(frozen=True)
class LibraryComparison:
    """Medians of ours and theirs in `unit`, and their ratio as `title` says; theirs and the ratio are NaN where no
    other library was measured."""

    name: str
    title: str
    ours: float
    theirs: float
    ratio: float
    unit: str = "s"


def compared(
    name: str, title: str, ours: Sequence[float], theirs: Sequence[float], *, faster: bool
) -> LibraryComparison:
    """Medians of two lists of seconds; the ratio is theirs / ours where `faster`, else ours / theirs."""
    mine, yours = statistics.median(ours), statistics.median(theirs)
    return LibraryComparison(name, title, mine, yours, yours / mine if faster else mine / yours)


def measured_alone(name: str, title: str, ours: Sequence[float]) -> LibraryComparison:
    """The median of what no other library was measured for."""
    return LibraryComparison(name, title, statistics.median(ours), float("nan"), float("nan"))


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def load(data: str) -> Dataset:
    """The prepared data set of a name of conf/data, or of a path."""
    return dataset.load(check(DataConfig, dataset.config_of(data), data))


def train_rows(data: str) -> Interactions:
    """What the final model of a run is fitted on: train and validation."""
    return load(data).split.train_and_validation


def train_and_test(data: Dataset) -> dict[str, Interactions]:
    """The rows that a program of another library reads, by the name of their file."""
    return {"train": data.split.train_and_validation, "test": data.split.test}
