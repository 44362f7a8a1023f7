import io
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest
import yaml

from recstage import registry
from recstage.config.steps import MODELS
from recstage.errors import ConfigError, DataError, TooLittleData
from recstage.evaluation.trade_off import LAMBDAS, best_lambda
from recstage.models.linear import memory
from recstage.steps import evaluate, pipeline, prepare, train
from recstage.steps.train import TrainResult
from tests.conftest import TINY

pytestmark = pytest.mark.slow


def ran(data, *models, **options):
    return pipeline.run(pipeline.PipelineSettings(data=data, models=models, **options))


@pytest.fixture
def telling(workspace):
    """Enough users for the gate to see that a model beats popularity."""
    enlarged = TINY.replace("users: 80, items: 40, interactions: 3000", "users: 400, items: 80, interactions: 16000")
    (workspace / "telling.yaml").write_text(enlarged)
    return str(workspace / "telling.yaml")


@pytest.mark.integration
def test_the_main_job_trains_all_compares_and_promotes_the_best(telling, client):
    result = ran(telling)
    assert result.kept_because is None
    assert [one.model for one in result.trained] == list(MODELS["dense"])
    assert result.skipped == {}
    production = registry.production()
    assert production.number == result.production
    assert production.tags["reason"] == "best of the main job"
    run = client.get_run(result.run_id)
    assert run.info.status == "FINISHED"
    children = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{result.run_id}'")
    assert {child.data.tags["stage-of-work"] for child in children} == {"compare"}
    beside = client.search_runs([run.info.experiment_id], f"tags.job = '{result.run_id}'")
    assert {child.data.tags["stage-of-work"] for child in beside} == {"train"}
    assert not any("mlflow.parentRunId" in child.data.tags for child in beside)
    assert {child.info.status for child in (*children, *beside)} == {"FINISHED"}
    ranker = next(one.run_id for one in result.trained if one.model == "lambdarank")
    plots = {file.path for file in client.list_artifacts(ranker, "plots")}
    assert {"plots/feature_importance.png", "plots/learning_curve.png"} <= plots
    answer = mlflow.pyfunc.load_model("models:/recommender/Production").predict({"user_id": ["u1"]})
    assert len(answer["item_ids"][0]) > 0
    config = yaml.safe_load(mlflow.artifacts.load_text(f"runs:/{ranker}/config.yaml"))
    members = {one["model"]: one["params"] for one in config["model"]["params"]["retrievers"]}
    found = {one.model: one.params for one in result.trained if one.model in members}
    assert found
    assert {name: members[name] for name in found} == found


def test_of_a_budget_each_model_has_a_share_of_what_is_left_and_composites_the_parameters_that_were_found(tiny):
    names = ("popularity", "ease", "knn", "als", "lambdarank")
    plans = {name: train.settings_from(name, tiny) for name in names}
    adapt = pipeline._Adapting.of(600.0, list(plans.values()))
    done = [TrainResult("r", "knn", "m", 1, {}, {}, {"neighbors": 7})]
    assert adapt(plans["popularity"], []).budget == 0
    assert adapt(plans["ease"], []).budget == pytest.approx(270, abs=5)  # 30 s are kept for each of the two others
    adapt.began -= 270  # all of it was used
    assert adapt(plans["knn"], []).budget == pytest.approx(200, abs=5)
    assert adapt(plans["als"], done).budget == pytest.approx(330, abs=5)  # knn left its own
    ranker = adapt(plans["lambdarank"], done)
    assert ranker.budget == 0
    members = ranker.model.params["retrievers"]
    assert {one["model"]: one["params"] for one in members}["knn"] == {"neighbors": 7}
    assert {one["model"]: one["params"] for one in members}["als"] == {}


def test_a_model_that_comes_after_the_budget_is_fitted_without_a_search(tiny):
    plan = train.settings_from("knn", tiny)
    late = pipeline._Adapting.of(600.0, [plan])
    late.began -= 1e6
    assert late(plan, []).budget == pipeline.LEAST_SECONDS
    assert pipeline._Adapting.of(0.0, [plan])(plan, []) is plan


@pytest.mark.integration
def test_a_second_main_job_on_the_same_data_keeps_production_and_says_why(telling):
    first = ran(telling, "popularity", "als")
    second = ran(telling, "popularity", "als")
    assert "version" in second.kept_because
    assert registry.production().number == first.production == second.production
    winner = max(second.trained, key=lambda one: one.metrics["ndcg_at_10"])
    assert first.outcome == f"{registry.production()} is Production"
    assert second.outcome == f"{registry.production()} is Production, as before"
    assert second.best_trained == f"version {winner.version} of recommender ({winner.model})"
    assert second.best_trained_metrics == winner.metrics


def test_models_that_the_data_is_too_small_for_are_left_out_by_name(workspace):
    rows = "".join(f"u{i % 4},i{(i * 7) % 10},{i}\n" for i in range(40))
    (workspace / "few.csv").write_text("user_id,item_id,timestamp\n" + rows)
    result = ran(str(workspace / "few.csv"), "popularity", "lambdarank")
    assert [one.model for one in result.trained] == ["popularity"]
    assert "lambdarank needs at least 100" in result.skipped["lambdarank"]


def test_a_model_that_the_catalogue_is_too_large_for_is_left_out_by_name(tiny, monkeypatch):
    full = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=1000))
    monkeypatch.setattr(memory, "psutil", full)
    result = ran(tiny, "ease", "popularity")
    assert [one.model for one in result.trained] == ["popularity"]
    assert "ease needs about" in result.skipped["ease"]
    assert "this machine has 0 MB free" in result.skipped["ease"]


def test_data_that_no_model_can_use_ends_the_job(workspace, client):
    rows = "".join(f"u{i % 4},i{(i * 7) % 10},{i}\n" for i in range(40))
    (workspace / "few.csv").write_text("user_id,item_id,timestamp\n" + rows)
    with pytest.raises(TooLittleData, match="no model can be trained on it"):
        ran(str(workspace / "few.csv"), "lambdarank")
    assert {run.info.status for run in client.search_runs(["1"])} == {"FAILED"}


def test_strict_refuses_bad_rows_before_anything_is_trained(workspace, client):
    rows = "".join(f"u{i % 4},i{(i * 7) % 10},{i}\n" for i in range(40)) + ",i1,50\n"
    (workspace / "shop.csv").write_text("user_id,item_id,timestamp\n" + rows)
    given = ["--data", str(workspace / "shop.csv"), "--strict", "--models", '["popularity"]']
    with pytest.raises(DataError, match="strict data sets have no bad row, and 1 of 41 are"):
        pipeline.run(pipeline.settings_from(given))
    assert [run.info.status for run in client.search_runs(["1"])] == ["FAILED"]


def test_an_unknown_model_ends_the_job_before_anything_is_trained(tiny, client):
    with pytest.raises(ConfigError, match="Valid names: "):
        ran(tiny, "popularity", "alz")
    assert client.search_runs(["0"]) == []


def test_preparing_is_a_run_that_knows_its_data(tiny, client):
    settings = prepare.settings_from(["--data", tiny])
    done = prepare.run(settings)
    assert done.pairs == done.train + done.validation + done.test
    run = client.search_runs([client.get_experiment_by_name("recstage").experiment_id])[0]
    assert run.inputs.dataset_inputs[0].dataset.digest == done.fingerprint == run.data.tags["fingerprint"]


def test_measuring_a_version_again_on_its_own_data_finds_the_same(tiny, client):
    trained = ran(tiny, "als").trained[0]
    again = evaluate.run(evaluate.settings_from(["--version", str(trained.version), "--data", tiny]))
    assert again.version == trained.version
    assert again.metrics["ndcg_at_10"] == pytest.approx(trained.metrics["ndcg_at_10"])
    assert client.get_run(again.run_id).data.tags["stage-of-work"] == "evaluate"


def test_a_version_is_measured_again_with_what_diversity_costs(tiny, client):
    trained = train.run(train.settings_from("popularity", tiny, ["--evaluation.bootstrap", "100"], {"register": True}))
    again = evaluate.run(
        evaluate.settings_from(
            ["--version", str(trained.version), "--data", tiny, "--trade_off", "true", "--evaluation.bootstrap", "100"]
        )
    )
    curve = pd.read_csv(io.StringIO(mlflow.artifacts.load_text(f"runs:/{again.run_id}/trade_off.csv")))
    assert curve["lambda"].tolist() == list(LAMBDAS)
    assert curve["ndcg_at_10"].iloc[-1] == pytest.approx(again.metrics["ndcg_at_10"])
    found = pd.read_csv(io.StringIO(mlflow.artifacts.load_text(f"runs:/{again.run_id}/trade_off_validation.csv")))
    assert again.diversity == best_lambda(found) == client.get_run(again.run_id).data.metrics["trade_off_lambda"]
    assert found["ndcg_at_10"].tolist() != curve["ndcg_at_10"].tolist()
    assert "plots/mmr_trade_off.png" in {file.path for file in client.list_artifacts(again.run_id, "plots")}


def test_a_trade_off_of_users_for_an_item_is_refused(tiny, client):
    trained = train.run(train.settings_from("reverse-als", tiny, ["--evaluation.bootstrap", "100"], {"register": True}))
    given = ["--name", "recommender-reverse", "--version", str(trained.version), "--data", tiny, "--trade_off", "true"]
    with pytest.raises(ConfigError, match="trade_off = true: reverse-als ranks users, not items"):
        evaluate.run(evaluate.settings_from(given))
