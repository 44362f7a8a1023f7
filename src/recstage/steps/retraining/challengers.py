"""The challengers: how each is trained, and on which cut of the fresh data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from recstage import bundle, registry
from recstage.config import DataConfig, SplitConfig, check, model_config_of, with_whole_paths
from recstage.config.steps import RetrainSettings
from recstage.data import dataset
from recstage.data.dataset import Dataset
from recstage.errors import RecstageError, TooLittleData
from recstage.models import build
from recstage.promotion import evidence
from recstage.registry import Version
from recstage.steps import train_settings
from recstage.steps.train import TrainSettings
from recstage.steps.train_settings import registered_name


def data_of(settings: RetrainSettings, snapshot: str | None) -> DataConfig:
    """The data set of conf/data, located: on the snapshot of an interrupted retraining, or on one taken now."""
    values = dataset.config_of(settings.retraining.data)
    config: DataConfig = with_whole_paths(check(DataConfig, values, f"conf/data/{settings.retraining.data}"))
    if snapshot is not None and config.source.kind == "service":
        config = config.model_copy(update={"source": config.source.model_copy(update={"path": snapshot})})
    return dataset.located(config)


def trained_until(version: Version) -> int:
    """When the newest interaction that a version was fitted on happened, in seconds since 1970. Raises `RegistryError`,
    `BundleError`."""
    return bundle.read_manifest(registry.fetch(version)).trained_until


def fresh(config: DataConfig, seen_until: Mapping[str, int]) -> tuple[DataConfig, Dataset]:
    """The temporal split on which Production (of each registered model, with the moment that its training reached) and
    the challengers are tested: the configured share of the newest events, or less, so that the test window begins after
    what Production was trained on. Raises `DataError` where the times are no clock, `TooLittleData`."""
    wanted = SplitConfig(**{**config.split.model_dump(), "method": "temporal"})
    config = config.model_copy(update={"split": wanted})
    made = dataset.load(config)
    latest = max(seen_until.values(), default=0)
    if latest < test_begins(made):
        return config, made
    config = config.model_copy(update={"split": wanted.model_copy(update={"test_from": latest + 1})})
    try:
        return config, dataset.load(config)
    except TooLittleData as error:
        raise TooLittleData(
            f"{config.name} since {_moment(latest)}",
            rule=f"Production was trained until then, and {error.given} {error.rule}",
            fix="Wait for more events",
        ) from error


def test_begins(data: Dataset) -> int:
    """The earliest test row's time, in seconds since 1970."""
    times = data.split.test.timestamp
    return int(times.min()) if len(times) else int(np.iinfo(np.int64).max)


def spoilt(data: Dataset, seen_until: Mapping[str, int], least: int) -> str:
    """In words, why Production cannot be compared on the test window: it was trained on it, or too few users have a row
    in it; empty where it can."""
    begins = test_begins(data)
    for name, at in seen_until.items():
        if at >= begins:
            return (
                f"Production of {name} was trained until {_moment(at)}, and the test window begins {_moment(begins)}: "
                "it has seen what it would be tested on"
            )
    tested = int((data.split.test.lengths > 0).sum())
    if tested >= least:
        return ""
    return (
        f"{tested} users have test rows since Production was trained, {least} are needed to compare "
        "(retraining.least_test_users)"
    )


def settings_of(challenger: str, settings: RetrainSettings, data: DataConfig, last: Version | None) -> TrainSettings:
    """How a challenger is trained: from the parameters and (where the model allows) the values of `last`, the newest
    version of the same model."""
    config = model_config_of(challenger)
    trials = settings.retraining.trials if config.search else 0
    overrides = {"trials": trials, "seed": settings.seed, "register": False, "name": settings.name}
    found = train_settings.settings_from(
        challenger, settings.retraining.data, _arguments(last_params(last, set(config.search))), overrides
    )
    warm = last is not None and settings.retraining.warm_start and build(found.model).warm_starts
    start = f"{last.name}/{last.number}" if warm and last is not None else ""
    return found.model_copy(update={"data": data, "warm_start": start})


def last_of(challenger: str, settings: RetrainSettings) -> Version | None:
    """The newest version that the same configuration made; None where there is none."""
    name = registered_name(model_config_of(challenger), settings.name)
    if not registry.exists(name):
        return None
    return next((one for one in registry.versions(name) if one.algorithm == challenger), None)


def last_params(last: Version | None, searched: set[str]) -> dict[str, Any]:
    """The searched parameters that a version was fitted with; none where its run does not say."""
    if last is None or not searched:
        return {}
    try:
        params = evidence.params_of(last)
    except RecstageError:
        return {}
    return {key: params[key] for key in searched if params.get(key) is not None}


def _arguments(params: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for key, value in params.items():
        words += [f"--model.params.{key}", value if isinstance(value, str) else json.dumps(value)]
    return words


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def prune_snapshots(folder: Path, keep: int, used: str) -> list[str]:
    """Delete all but the newest `keep` snapshots below `folder`, never the one in use. Returns the names deleted."""
    found = sorted(folder.glob("service-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    doomed = [path for path in found[keep:] if str(path) != used]
    for path in doomed:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in doomed]
