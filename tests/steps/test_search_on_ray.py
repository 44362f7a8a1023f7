"""A search and an evaluation with `backend=ray`, on two nodes of one core."""

from __future__ import annotations

import json
import time

import pytest

from recstage import tracking
from recstage.steps import evaluate, train
from recstage.steps.parameter_search.on_ray import TrialsOnRay

pytestmark = pytest.mark.integration
SMALL = ["--evaluation.bootstrap=100", "--evaluation.latency_requests=0", "--preset", "default", "--backend", "ray"]
SLOW_TRIALS = ["--model.search.iterations=null", "--model.params.iterations=1000"]
"""Some seconds each, so that one is under way on either node."""


def trials_of(client, run_id):
    where = [client.get_run(run_id).info.experiment_id]
    return client.search_runs(where, f"tags.mlflow.parentRunId = '{run_id}'")


def test_a_search_ends_with_all_its_trials_though_a_node_is_killed(ray_cluster, tiny, client, monkeypatch):
    start, killed = TrialsOnRay.start, []

    def start_and_kill(self, number, params):
        start(self, number, params)
        if number == 2:
            time.sleep(1.0)
            ray_cluster.kill()
            killed.append(number)

    monkeypatch.setattr(TrialsOnRay, "start", start_and_kill)
    try:
        result = train.run(
            train.settings_from("als", tiny, [*SMALL, *SLOW_TRIALS, "--trials", "5", "--register", "true"])
        )
    finally:
        ray_cluster.add()
    assert killed == [2]
    trials = trials_of(client, result.run_id)
    assert sorted(one.info.run_name.split(" · ")[0] for one in trials) == [f"trial {number}" for number in range(5)]
    assert {one.info.status for one in trials} == {"FINISHED"}
    for one in trials:
        assert {"validation_ndcg_at_10", "fit_seconds", "peak_memory_mb"} <= tracking.metrics_of(one).keys()

    # the version of that run, measured again: here, and by blocks of users on the cluster
    words = ["--version", "1", *SMALL[:2]]
    here, there = (evaluate.run(evaluate.settings_from([*words, "--backend", one])) for one in ("local", "ray"))
    assert json.dumps(there.metrics) == json.dumps(here.metrics)


def test_epochs_of_a_trial_arrive_in_its_run_also_of_a_pruned_one(ray_cluster, tiny, client):
    search = '--model.search.learning_rate={"low": 1e-9, "high": 0.1, "log": true}'
    words = [*SMALL, search, "--model.params.epochs=30", "--model.params.learning_rate=0.05", "--trials", "9"]
    result = train.run(train.settings_from("ncf", tiny, words))
    trials = trials_of(client, result.run_id)
    assert len(trials) == 9
    for one in trials:
        epochs = len(client.get_metric_history(one.info.run_id, "validation_ndcg_at_10"))
        assert 0 < epochs <= 31  # a pruned trial may end before the order to stop reaches it
