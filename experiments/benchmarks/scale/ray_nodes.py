"""A Ray cluster whose nodes are processes of this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from recstage.cluster import ADDRESS_VARIABLE, needs_ray

STORE_BYTES = 150 * 1024 * 1024
LOOPBACK = "127.0.0.1"
PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


class Nodes:
    """Nodes of one core each; the first one is the head, which stays."""

    def __init__(self, count: int) -> None:
        ray = needs_ray()
        os.environ.setdefault("RAY_worker_niceness", "0")
        from ray.cluster_utils import Cluster

        self._ray = ray
        self._cluster = Cluster(initialize_head=True, head_node_args=_arguments())
        self._others = [self._cluster.add_node(**_arguments()) for _ in range(count - 1)]

    @property
    def address(self) -> str:
        return self._cluster.address

    def add(self) -> None:
        """One more node."""
        self._others.append(self._cluster.add_node(**_arguments()))

    def kill(self) -> None:
        """End the processes of the node that was added last, by SIGKILL."""
        self._cluster.remove_node(self._others.pop(), allow_graceful=False)

    def close(self) -> None:
        self._ray.shutdown()
        self._cluster.shutdown()


@contextmanager
def cluster_of(count: int) -> Iterator[Nodes]:
    """So many nodes, at RAY_ADDRESS."""
    nodes = Nodes(count)
    before = os.environ.get(ADDRESS_VARIABLE)
    os.environ[ADDRESS_VARIABLE] = nodes.address
    try:
        yield nodes
    finally:
        if before is None:
            del os.environ[ADDRESS_VARIABLE]
        else:
            os.environ[ADDRESS_VARIABLE] = before
        nodes.close()


def _arguments() -> dict[str, Any]:
    """Of a node. Its agents get ports here: a node that waits for them to choose gives up after 15 seconds, which is
    too short for a busy machine."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in PORTS]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        ports = {name: one.getsockname()[1] for name, one in zip(PORTS, sockets, strict=True)}
    common = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    return {**common, **ports}
