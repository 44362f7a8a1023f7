"""The experiment opens in the UI as one of model training, described, with a saved view."""

import json

from recstage import tracking
from recstage.tracking import experiment_page
from recstage.tracking.metric_names import plain


def test_a_new_experiment_has_its_kind_a_description_and_a_view(workspace):
    tracking.experiment()
    found = tracking.connect().get_experiment_by_name("recstage").tags
    assert found["mlflow.experimentKind"] == "custom_model_development"
    assert "models, best first" in found["mlflow.note.content"]
    view = json.loads(found["mlflow.sharedViewState.recstage-models"])
    assert view["orderByKey"] == "metrics.`ndcg_at_10`"
    assert view["orderByAsc"] is False
    assert {"tags.`model`", "tags.`data`", "tags.`split`", "metrics.`fit_seconds`"} <= set(view["selectedColumns"])


def test_the_filter_of_the_view_is_one_that_mlflow_understands(workspace):
    made = tracking.experiment()
    with tracking.run("als · shop", tags={"stage-of-work": "train"}, system_metrics=False):
        pass
    with tracking.run("compare", tags={"stage-of-work": "compare"}, system_metrics=False):
        pass
    found = tracking.connect().search_runs([made.experiment_id], experiment_page.view_state()["searchFilter"])
    assert [run.info.run_name for run in found] == ["als · shop"]


def test_a_description_that_a_user_wrote_stays(workspace):
    made = tracking.experiment()
    tracking.connect().set_experiment_tag(made.experiment_id, "mlflow.note.content", "ours")
    tracking.experiment()
    assert tracking.connect().get_experiment_by_name("recstage").tags["mlflow.note.content"] == "ours"


def test_a_run_of_a_job_can_stand_beside_it(workspace):
    with (
        tracking.run("main", tags={}, system_metrics=False) as job,
        tracking.run("als", tags={}, nested=True, own_row=True) as model,
        tracking.run("trial", tags={}, nested=True) as trial,
    ):
        pass
    client = tracking.connect()
    tags = client.get_run(model.info.run_id).data.tags
    assert tags["job"] == job.info.run_id
    assert "mlflow.parentRunId" not in tags
    assert client.get_run(trial.info.run_id).data.tags["mlflow.parentRunId"] == model.info.run_id
    assert {client.get_run(one.info.run_id).info.status for one in (job, model, trial)} == {"FINISHED"}


def test_metrics_of_runs_of_earlier_versions_are_read_as_they_are():
    assert plain({"ndcg_at_10_low": 0.1, "cold_ndcg_at_5": 0.2}) == {"ndcg_at_10_low": 0.1, "cold_ndcg_at_5": 0.2}
    assert plain({"statistics/ndcg_at_10_low": 0.1, "training/loss": 3.0, "system/cpu": 1.0}) == {"ndcg_at_10_low": 0.1}
