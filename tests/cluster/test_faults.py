"""What is wrong with a cluster, each as one clear line: a worker out of memory, a node that does not start."""

from __future__ import annotations

import os

import pytest

from experiments.benchmarks.scale.ray_nodes import Nodes
from recstage import cluster
from recstage.cluster.failures import is_loss, told
from recstage.errors import ExternalToolError, OutOfMemory
from recstage.steps import train

EXTRA = "Ray is an extra: pip install 'recstage[ray]'"


def test_a_worker_out_of_memory_is_one_line_and_not_tried_for_ever():
    ray = pytest.importorskip("ray", reason=EXTRA)
    cluster.needs_ray()
    error = ray.exceptions.OutOfMemoryError("Task was killed due to the node running low on memory.")
    found = told(error)
    assert isinstance(found, OutOfMemory)
    assert str(found).startswith("a worker of the Ray cluster: it was ended because its node ran out of memory. Give")
    assert not is_loss(error)
    assert os.environ["RAY_task_oom_retries"] == "3"  # noqa: SIM112 - so Ray names it


@pytest.mark.parametrize("name", ["WorkerCrashedError", "NodeDiedError", "TaskUnschedulableError"])
def test_a_lost_worker_is_no_fault_of_its_own(name):
    errors = pytest.importorskip("ray", reason=EXTRA).exceptions
    error = getattr(errors, name)(*([] if name == "WorkerCrashedError" else ["the node is gone"]))
    assert is_loss(error)
    assert told(error) is None


def test_a_module_that_workers_lack_is_one_line():
    pytest.importorskip("ray", reason=EXTRA)
    line = "a worker of the Ray cluster: the module lightgbm is not installed there. Install the same recstage"
    assert str(told(RuntimeError("ModuleNotFoundError: No module named 'lightgbm'"))).startswith(line)


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


@pytest.mark.integration
def test_a_node_that_runs_out_of_memory_ends_a_search_with_one_line(tiny, workspace, monkeypatch):
    pytest.importorskip("ray", reason=EXTRA)
    for name, value in (("memory_usage_threshold", "0.001"), ("memory_monitor_refresh_ms", "100")):
        monkeypatch.setenv(f"RAY_{name}", value)  # the node takes every worker for one too many
    nodes = Nodes(1)
    try:
        monkeypatch.setenv("RAY_ADDRESS", nodes.address)
        with pytest.raises(OutOfMemory, match=r"its node ran out of memory\. Give the nodes fewer cores"):
            train.run(train.settings_from("als", tiny, ["--trials", "2", "--backend", "ray", "--preset", "default"]))
    finally:
        nodes.close()
