"""A Ray cluster whose nodes are processes of this machine."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from recstage.cluster import ADDRESS_VARIABLE, needs_ray, started

STORE_BYTES = 150 * 1024 * 1024
LOOPBACK = "127.0.0.1"
LISTENS = "dashboard_agent_listen_port"
PORTS = ("metrics_agent_port", "metrics_export_port", LISTENS, "runtime_env_agent_port")
NODE_ID_BYTES = 28


class Nodes:
    """Nodes of one core each; the first one is the head, which stays."""

    def __init__(self, count: int) -> None:
        ray = needs_ray()
        os.environ.setdefault("RAY_worker_niceness", "0")
        from ray.cluster_utils import Cluster

        self._ray, self._session = ray, f"session_{os.getpid()}_{secrets.token_hex(4)}"
        self._cluster = started(lambda: Cluster(initialize_head=True, head_node_args=_arguments(self._session)))
        self._others: list[Any] = []
        for _ in range(count - 1):
            self.add()

    @property
    def address(self) -> str:
        return self._cluster.address

    def add(self) -> None:
        """One more node."""
        self._others.append(started(lambda: self._cluster.add_node(**_arguments(self._session))))

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


def _arguments(session: str) -> dict[str, Any]:
    """Of a node. Its agents get ports here, and what a node reads of the last one is written here: it would wait for
    either for 15 seconds at most, which is too short for a busy machine."""
    from ray._common.utils import get_default_ray_temp_dir

    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in PORTS]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        ports = {name: one.getsockname()[1] for name, one in zip(PORTS, sockets, strict=True)}
    node, folder = secrets.token_hex(NODE_ID_BYTES), Path(get_default_ray_temp_dir()) / session
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{LISTENS}_{node}").write_text(str(ports[LISTENS]))
    named = {"session_name": session, "env_vars": {"RAY_OVERRIDE_NODE_ID_FOR_TESTING": node}}
    common = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    return {**common, **named, **ports}
