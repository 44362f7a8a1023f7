"""The nodes of a cluster: their free cores and GPUs, and what is started on which of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recstage.cluster.connection import needs_ray

SETTLE_SECONDS = 5.0
"""Cores of work that has just ended become free in this time."""


@dataclass(frozen=True)
class Place:
    """Where one process of several runs: a node, its free cores, and one GPU of it or none."""

    node: str
    cores: int
    gpu: bool

    def remote(self, function: Callable[..., Any], **options: Any) -> Any:
        """A remote function that runs there and nowhere else, and has the cores to itself."""
        given = {"num_cpus": self.cores, "num_gpus": int(self.gpu), "scheduling_strategy": _only(self.node), **options}
        return needs_ray().remote(**given)(function)


def cores() -> int:
    """Cores of the nodes that are there now, one at least."""
    return max(1, int(sum(found.get("CPU", 0) for found in _resources().values())))


def places() -> list[Place]:
    """One for each GPU of the cluster that is free, or, where there is none, for each node with free cores."""
    until = time.monotonic() + SETTLE_SECONDS
    while _free() != _resources() and time.monotonic() < until:
        time.sleep(SETTLE_SECONDS / 25)
    found = [(node, int(have.get("CPU", 0)), int(have.get("GPU", 0))) for node, have in sorted(_free().items())]
    with_gpus = [
        Place(node, number // gpus, gpu=True) for node, number, gpus in found for _ in range(gpus) if number >= gpus
    ]
    return with_gpus or [Place(node, number, gpu=False) for node, number, _ in found if number]


def actor_here(actor: type) -> Any:
    """An actor on the caller's node: it is lost with the caller alone."""
    ray = needs_ray()
    return (
        ray.remote(num_cpus=0)(actor)
        .options(scheduling_strategy=_only(ray.get_runtime_context().get_node_id()))
        .remote()
    )


def _only(node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)


def _resources() -> dict[str, dict[str, float]]:
    """CPU and GPU of each node that is there."""
    nodes = needs_ray().nodes()
    return {node["NodeID"]: _computing(node["Resources"]) for node in nodes if node["Alive"]}


def _free() -> dict[str, dict[str, float]]:
    from ray._private.state import available_resources_per_node  # no other interface tells it without a dashboard

    there = _resources()
    return {
        node: {"CPU": 0.0, "GPU": 0.0} | _computing(have)
        for node, have in available_resources_per_node().items()
        if node in there
    }


def _computing(resources: dict[str, float]) -> dict[str, float]:
    return {name: resources.get(name, 0.0) for name in ("CPU", "GPU")}
