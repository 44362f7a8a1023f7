"""A Ray cluster of processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from experiments.benchmarks.scale.ray_nodes import Nodes


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    """Two nodes of one core, for all tests: who kills one adds another; skips where Ray is not installed."""
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'recstage[ray]'")
    found = Nodes(2)
    yield found
    found.close()


@pytest.fixture
def ray_cluster(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """The nodes, at RAY_ADDRESS."""
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    return nodes


class Steps(list[int]):
    """The steps that a fit reports: it is the fit's `report`."""

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        self.append(step)


@contextmanager
def one_killed(cluster: Nodes, *, at: int) -> Iterator[Steps]:
    """Steps of a fit whose report of step `at` ends a node; another one is there afterwards."""

    class Killing(Steps):
        def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
            super().__call__(step, metrics)
            if step == at:
                cluster.kill()

    try:
        yield Killing()
    finally:
        cluster.add()
