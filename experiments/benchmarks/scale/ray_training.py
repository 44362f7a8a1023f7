"""What two nodes of one core gain in training beside one core, and what a node that is killed meanwhile costs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from experiments.benchmarks.report import Measurement, at_least, at_most
from experiments.benchmarks.scale.ray_nodes import cluster_of
from recstage.config import DataConfig, check, model_config_of
from recstage.data import dataset
from recstage.data.dataset import Dataset
from recstage.models.neural.training import METRIC
from recstage.models.two_tower.model import TwoTower

NOISE = 0.02
"""Of NDCG@10 on 2,048 held-out rows: three standard errors, roughly."""


@dataclass
class Curve:
    """What a fit has reported."""

    ends: list[float] = field(default_factory=list)
    ndcg: list[float] = field(default_factory=list)

    @property
    def epoch_seconds(self) -> float:
        """The median epoch, without the first one, which starts processes."""
        return float(np.median(np.diff(self.ends)))


def training(folder: Path, data: str, epochs: int) -> Iterator[Measurement]:
    """A two-tower on one core, on two nodes of one core, and on two of which one is killed after the first epoch."""
    path = folder / "training.yaml"
    path.write_text(data)
    ready = dataset.load(check(DataConfig, dataset.config_of(str(path)), str(path)))
    with _one_core():
        alone = _fitted(ready, epochs, "local")
    with cluster_of(2):
        together = _fitted(ready, epochs, "ray")
    with cluster_of(2) as nodes:
        killed = _fitted(ready, epochs, "ray", nodes.kill)
    yield Measurement(
        "a two-tower epoch on two nodes of one core, as a multiple of one core",
        alone.epoch_seconds / together.epoch_seconds,
        at_least(1.5),
        "x",
        f"{alone.epoch_seconds:.1f} s and {together.epoch_seconds:.1f} s",
    )
    yield Measurement(
        "  best NDCG@10 on validation: difference", abs(max(together.ndcg) - max(alone.ndcg)), at_most(NOISE)
    )
    yield Measurement(
        "  a node killed after the first epoch: epochs that are missing", epochs - len(killed.ndcg), at_most(0)
    )
    yield Measurement(
        "  and the difference of the best NDCG@10", abs(max(killed.ndcg) - max(alone.ndcg)), at_most(NOISE)
    )


def _fitted(ready: Dataset, epochs: int, backend: str, after_the_first: Callable[[], None] | None = None) -> Curve:
    curve = Curve()

    def report(step: int, metrics: Mapping[str, float]) -> None:
        curve.ends.append(time.perf_counter())
        curve.ndcg.append(metrics[METRIC])
        if step == 1 and after_the_first is not None:
            after_the_first()

    params = {**model_config_of("two-tower").params, "epochs": epochs, "patience": epochs}
    TwoTower(TwoTower.Params(**params)).fit(
        ready.split.train,
        validation=ready.split.validation,
        catalogue=ready.catalogue,
        report=report,
        backend=backend,
    )
    return curve


@contextmanager
def _one_core() -> Iterator[None]:
    """Inside, this process has one core and torch one thread."""
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(cores)})
    torch.set_num_threads(1)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)
