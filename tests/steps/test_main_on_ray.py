"""The main job on a cluster of two nodes, and what follows its promotion: a service on Ray Serve, and a plain one."""

from __future__ import annotations

import json

import pytest

from experiments.benchmarks.environment import start_service
from tests.steps.test_mlflow_run import mlflow_run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def test_the_main_job_ends_with_a_version_that_both_services_follow(ray_cluster, tiny, workspace):
    models = ["popularity", "slim", "two-tower"]
    words = [f"data={tiny}", "backend=ray", f"models={json.dumps(models)}"]
    done = mlflow_run(workspace, "main", *(part for word in words for part in ("-P", word)))
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert [one["model"] for one in result["trained"]] == models
    assert "two-tower is trained by 2 processes of the cluster" in done.stderr
    variables = {"MLFLOW_TRACKING_URI": f"sqlite:///{workspace / 'mlflow.db'}", "MLFLOW_DISABLE_TELEMETRY": "true"}
    for name, program in (("plain", ("serving",)), ("replicas", ("serving.ray", "--replicas", "1"))):
        with start_service(workspace, name, variables, program) as service:
            service.serves(result["production"])
