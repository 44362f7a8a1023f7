"""Prepare a data set and report what it holds: the first step of the main job, so that the others read the cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from recstage import tracking
from recstage.cli import named
from recstage.config import DataConfig, resolve, with_whole_paths
from recstage.config.steps import PrepareSettings
from recstage.data import dataset
from recstage.models.memory import peak_memory_mb


@dataclass(frozen=True)
class Prepared:
    """What a data set holds once it is clean and cut. `dropped` counts bad rows by reason, `left_out` what belongs to
    no part of the split. `mapped`: it was prepared out of core, and its arrays are mapped from disk; `peak_memory_mb`:
    the most that the process has taken so far."""

    data: str
    fingerprint: str
    split: str
    ordered: bool
    rows: int
    kept: int
    dropped: dict[str, int]
    users: int
    items: int
    pairs: int
    train: int
    validation: int
    test: int
    left_out: dict[str, int]
    seconds: float
    mapped: bool
    peak_memory_mb: float


def settings_from(arguments: Sequence[str] = ()) -> PrepareSettings:
    """`--data NAME` and any setting of it. Raises `ConfigError` on a wrong name."""
    names, rest = named(arguments, data="synthetic")
    found = resolve(PrepareSettings, {"data": dataset.config_of(names["data"])}, rest, program="prepare")
    return found.model_copy(update={"data": with_whole_paths(found.data)})


def run(settings: PrepareSettings) -> Prepared:
    """`prepare`, logged as a run of its own."""
    with tracking.run(f"prepare {settings.data.name}", tags={"stage-of-work": "prepare"}) as active:
        data = dataset.located(settings.data)  # once: a database would hold something else a second later
        tracking.log_config(active.info.run_id, settings.model_copy(update={"data": data}).model_dump(mode="json"))
        done = prepare(data)
        tracking.log_dataset(active.info.run_id, dataset.load(data))
        tracking.log_snapshot(active.info.run_id, data)
        tracking.log_metrics(active.info.run_id, {"seconds": done.seconds})
    return done


def prepare(data: DataConfig) -> Prepared:
    """Read, check, weigh, split and cache; at once where the cache has it. Raises `DataError`, `TooLittleData`,
    `StoreError`."""
    began = time.perf_counter()
    ready = dataset.load(data)
    report = ready.report
    return Prepared(
        data=ready.name,
        fingerprint=ready.fingerprint,
        split=ready.split.method,
        seconds=round(time.perf_counter() - began, 3),
        mapped=ready.split.stored_union is not None,
        peak_memory_mb=round(peak_memory_mb(), 1),
        **{
            name: report[name]
            for name in (
                "ordered",
                "rows",
                "kept",
                "dropped",
                "users",
                "items",
                "pairs",
                "train",
                "validation",
                "test",
                "left_out",
            )
        },
    )
