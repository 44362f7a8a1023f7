"""What is wrong with a cluster, each as one clear line: a worker out of memory, a wrong token."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from recstage import cluster
from recstage.cluster import Pool
from recstage.config import root
from recstage.errors import ExternalToolError, OutOfMemory
from tests.cluster.test_pool import ended

EXTRA = "Ray is an extra: pip install 'recstage[ray]'"


def waiting(shared, argument, report):
    time.sleep(60)


@pytest.mark.integration
def test_a_worker_out_of_memory_is_one_line(monkeypatch):
    pytest.importorskip("ray", reason=EXTRA)
    from experiments.benchmarks.scale.ray_nodes import cluster_of

    monkeypatch.setenv("RAY_memory_usage_threshold", "0.001")  # of a node: what is in use already is too much
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "50")
    monkeypatch.setenv("RAY_task_oom_retry_delay_base_ms", "1")
    line = r"^a worker of the Ray cluster: it was ended because its node ran out of memory. Give the nodes fewer cores"
    with cluster_of(1), cluster.session(), Pool(waiting, None) as calls:
        calls.start(1, None)
        with pytest.raises(OutOfMemory, match=line):
            ended(calls)


@pytest.mark.integration
def test_a_wrong_token_is_one_line(ray_cluster):
    program = "from recstage import cluster\nwith cluster.session(): pass"
    variables = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "another"}
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, cwd=root())
    assert "the cluster asks for a token, and there is none here, or another one. Copy the head node's" in done.stderr


def test_a_node_that_does_not_start_in_time_is_started_again():
    attempts = []

    def start():
        attempts.append(len(attempts))
        if len(attempts) < 3:
            raise Exception("The current node timed out during startup.")
        return "a node"

    assert cluster.started(start) == "a node"
    assert attempts == [0, 1, 2]


def test_another_fault_of_a_start_is_not_tried_again():
    with pytest.raises(ZeroDivisionError):
        cluster.started(lambda: 1 / 0)


def test_a_node_that_never_starts_is_one_line():
    cleaned = []

    def start():
        raise Exception("The current node timed out during startup.")

    with pytest.raises(ExternalToolError, match="Ray on this machine: it did not start in 3 attempts"):
        cluster.started(start, lambda: cleaned.append(1))
    assert len(cleaned) == 3
