"""A retraining that takes seconds: small models on the tiny data set, or none at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from recstage import tracking
from recstage.config.steps import RetrainSettings, TrainSettings
from recstage.data import dataset
from recstage.steps.retraining import challengers, retrain
from tests.registry_driver import RegistryDriver

SMALL = {"challengers": ["knn", "popularity"], "least_test_users": 5, "prune": False}
MEANS = {"knn": 0.5, "popularity": 0.2, "als": 0.4, "reverse-als": 0.3}


def _change(path: Path, change: Callable[[dict], None]) -> None:
    values = yaml.safe_load(path.read_text())
    change(values)
    path.write_text(yaml.safe_dump(values))


@pytest.fixture
def settings_of(workspace: Path, tiny: str) -> Callable[..., RetrainSettings]:
    """Settings of a retraining of `tiny`; further ones as on the command line."""
    conf = workspace / "conf"
    _change(conf / "retraining.yaml", lambda values: values.update(SMALL, data=tiny))
    small = {"latency_requests": 0, "segment_users": 5}
    _change(conf / "promotion.yaml", lambda values: values["guardrails"].update(small))
    _change(conf / "evaluation.yaml", lambda values: values.update(latency_requests=0, bootstrap=100))
    return lambda *words: retrain.settings_from(list(words))


@dataclass
class Trained:
    """What `train.run` returns, as far as a retraining looks."""

    run_id: str


@pytest.fixture
def untrained(registry_driver: RegistryDriver, monkeypatch: pytest.MonkeyPatch) -> RegistryDriver:
    """Challengers are not fitted: runs with figures of `MEANS` and any model stand for them."""

    def train_run(settings: TrainSettings, *, nested: bool = False) -> Trained:
        data = dataset.load(settings.data)
        tags = tracking.dataset_tags(data)
        name = settings.model.name
        run_id = registry_driver.train(
            name, mean=MEANS[name], data=tags["data"], split=tags["split"], fingerprint=tags["fingerprint"]
        )
        return Trained(run_id)

    monkeypatch.setattr(retrain.train, "run", train_run)
    monkeypatch.setattr(challengers, "trained_until", lambda version: 0)
    return registry_driver
