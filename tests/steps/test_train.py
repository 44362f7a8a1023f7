import errno
import io
import logging
import os
import sqlite3
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from recstage import bundle, registry, tracking, tuning
from recstage.config import DataConfig, SearchRange, model_config_of
from recstage.data import dataset
from recstage.errors import ConfigError, RegistryError, StoreError, TooLittleData
from recstage.evaluation import trial as trials_alone
from recstage.steps import train
from recstage.tracking import metric_names

pytestmark = pytest.mark.slow

QUICK = ["--evaluation.bootstrap=100", "--evaluation.latency_requests=5"]
ALS = [*QUICK, "--model.params.factors=8", "--model.params.iterations=3"]


def trained(tiny, model="als", *arguments, **overrides):
    return train.run(train.settings_from(model, tiny, [*ALS[:2], *arguments], overrides))


def bundle_of(result):
    return Path(mlflow.artifacts.download_artifacts(result.model_uri)) / "artifacts" / "bundle"


def test_a_run_carries_all_that_a_comparison_needs(tiny, client):
    result = trained(tiny, "als", *ALS[2:])
    run = client.get_run(result.run_id)
    assert run.info.status == "FINISHED"
    assert {"data", "split", "fingerprint", "model", "git-commit", "git-dirty"} <= set(run.data.tags)
    assert (run.data.tags["stage-of-work"], run.data.tags["data"], run.data.tags["split"]) == (
        "train",
        "tiny",
        "leave-one-out",
    )
    assert run.data.params["model.params.factors"] == "8"
    measured = tracking.metrics_of(run)
    for metric in ("ndcg_at_10", "ndcg_at_10_low", "ndcg_at_10_high", "sampled_hit_rate_at_10", "coverage_at_10"):
        assert metric in measured
    for metric in ("wall_seconds", "peak_memory_mb", "fit_seconds", "bundle_bytes", "latency_p95_ms"):
        assert measured[metric] > 0
    of_the_model = {one.key: one.value for one in mlflow.get_logged_model(result.model_uri[len("models:/") :]).metrics}
    for metric in ("ndcg_at_10", "statistics/ndcg_at_10_low", "statistics/sampled_hit_rate_at_10"):
        assert of_the_model[metric] == run.data.metrics[metric]
    assert run.inputs.dataset_inputs[0].dataset.digest == run.data.tags["fingerprint"]
    names = {file.path for file in client.list_artifacts(result.run_id)}
    assert {"config.yaml", "dataset.json", "libraries.txt", "model_card.md", "plots", "evaluation"} <= names
    config = yaml.safe_load(mlflow.artifacts.load_text(f"runs:/{result.run_id}/config.yaml"))
    assert config["model"]["params"]["factors"] == 8
    assert config["data"]["source"]["users"] == 80


def test_a_run_has_at_most_forty_metrics_and_its_ten_figures_have_no_section(tiny, client):
    small = ["--model.params.layers=[8]", "--model.params.epochs=2", "--model.params.patience=1"]
    for model, more in (("als", ALS[2:]), ("ncf", ["--model.params.factors=4", *small])):
        metrics = client.get_run(trained(tiny, model, *more).run_id).data.metrics
        assert len(metrics) <= 40, sorted(metrics)
        first = {name for name in metrics if "/" not in name}
        assert first == set(metric_names.HEADLINES)
        assert min(name for name in metrics if "/" in name) > max(first)
        assert tuple(metrics)[: len(first)] == metric_names.HEADLINES  # as the run's page and the comparison list them


def test_the_recall_of_an_index_is_a_metric_of_the_run_and_a_tag_of_the_version(tiny, client):
    pytest.importorskip("faiss", reason="FAISS is an extra: pip install recstage[faiss]")
    result = trained(tiny, "als", *ALS[2:], "--model.params.index=faiss", register=True)
    recall = tracking.metrics_of(client.get_run(result.run_id))["index_recall"]
    assert 0 < recall <= 1
    assert float(registry.version_of("recommender", result.version).tags["index_recall"]) == pytest.approx(recall)


def test_a_composite_whose_parts_rank_alone_says_so_in_its_run_and_its_version(tiny, client):
    parts = '["als", "popularity"]'
    alone = [f'--model.params.{segment}=["als"]' for segment in ("cold", "warm", "hot")]
    result = trained(
        tiny, "hybrid", f"--model.params.components={parts}", *alone, "--model.params.select=false", register=True
    )
    run, version = client.get_run(result.run_id), registry.version_of("recommender", result.version)
    assert result.ranked_by == run.data.tags["ranked-by"] == version.tags["ranked-by"] == "all users by als"
    assert "Ranks all users by als." in run.data.tags["mlflow.note.content"]
    assert "Ranks all users by als." in mlflow.artifacts.load_text(f"runs:/{result.run_id}/model_card.md")


def test_everything_that_was_measured_is_in_the_table_of_the_run(tiny, client):
    run = client.get_run(trained(tiny, "als", *ALS[2:]).run_id)
    measured = tracking.metrics_of(run)
    for name in ("recall_at_5", "recall_at_5_low", "precision_at_20", "hot_mrr_at_10_high", "n_users"):
        assert name in measured
        assert name not in run.data.metrics


def test_a_run_is_named_and_described_for_a_reader(tiny, client):
    result = trained(tiny, "als", *ALS[2:], register=True)
    run = client.get_run(result.run_id)
    assert run.info.run_name == f"als · tiny · {result.metrics['ndcg_at_10']:.3f}".replace("0.", ".")
    assert mlflow.get_logged_model(result.model_uri.removeprefix("models:/")).name.startswith("als · tiny · -")
    note = run.data.tags["mlflow.note.content"]
    for words in ("**als** on `tiny`", "seed 42", "commit `", "| ndcg_at_10&emsp; |", "is shown 1. '"):
        assert words in note, note
    again = trained(tiny, "als", *ALS[2:])
    assert "Paired by user" not in client.get_run(again.run_id).data.tags["mlflow.note.content"]
    registry.set_production("recommender", result.version, how="promote", by="ada")
    third = client.get_run(trained(tiny, "als", *ALS[2:]).run_id).data.tags["mlflow.note.content"]
    assert "Production: version 1 (als)" in third
    assert "Paired by user, ndcg_at_10 differs by +0.0000" in third


def test_a_logged_model_has_the_data_set_of_its_metrics(tiny, client):
    result = trained(tiny, "als", *ALS[2:])
    logged = mlflow.get_logged_model(result.model_uri.removeprefix("models:/"))
    of_the_data = {one.key for one in logged.metrics if one.dataset_name == "tiny"}
    assert {"ndcg_at_10", "coverage_at_10"} <= of_the_data


def test_example_lists_have_titles_and_reasons(tiny):
    result = trained(tiny, "als", *ALS[2:])
    lists = pd.read_csv(io.StringIO(mlflow.artifacts.load_text(f"runs:/{result.run_id}/examples/lists.csv")))
    assert len(lists) == 15
    assert lists["title"].str.len().min() > 0
    assert lists["reason"].str.len().min() > 0


def test_the_mean_over_the_logged_users_is_the_logged_metric(tiny):
    result = trained(tiny, "als", *ALS[2:])
    per_user = tracking.per_user_of(result.run_id)
    assert per_user["ndcg_at_10"].mean() == pytest.approx(result.metrics["ndcg_at_10"])


def test_the_logged_pyfunc_answers_as_the_bundle_does(tiny):
    result = trained(tiny, "als", *ALS[2:])
    pyfunc = mlflow.pyfunc.load_model(result.model_uri)
    answer = pyfunc.predict(pd.DataFrame({"user_id": ["u1", "unknown"]}), params={"k": 3})
    folder = bundle_of(result)
    loaded = bundle.load(folder)
    expected = loaded.model.recommend_batch(["u1", "unknown"], 3)
    assert answer["item_ids"].tolist() == [one.item_ids for one in expected]
    assert answer["method"].tolist() == [one.method for one in expected]
    numbers = pyfunc.predict(pd.DataFrame({"user_id": [1, 2]}), params={"k": 3})
    assert numbers["user_id"].tolist() == ["1", "2"]
    assert pyfunc.predict({"user_id": [1.0, "u1"]})["user_id"].tolist() == ["1", "u1"]
    assert loaded.manifest.metadata["run_id"] == result.run_id
    assert mlflow.models.get_model_info(result.model_uri).metadata["bundle_sha256"] == bundle.digest_of(folder)


def test_registering_makes_a_version_with_the_runs_tags(tiny):
    result = trained(tiny, "als", *ALS[2:], register=True)
    version = registry.version_of("recommender", result.version)
    assert version.run_id == result.run_id
    assert version.tags["algorithm"] == "als"


def test_a_search_logs_its_trials_as_children_and_refits_the_best(tiny, client):
    result = trained(tiny, "als", *ALS[2:], trials=3)
    run = client.get_run(result.run_id)
    children = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{result.run_id}'")
    assert len(children) == 3
    assert {child.data.tags["stage-of-work"] for child in children} == {"trial"}
    best = max(children, key=lambda child: child.data.metrics["validation_ndcg_at_10"])
    assert run.data.params["model.params.factors"] == best.data.params["model.params.factors"]
    names = {file.path for file in client.list_artifacts(result.run_id, "plots")}
    assert "plots/optuna_history.png" in names
    assert "trials.csv" in {file.path for file in client.list_artifacts(result.run_id)}


def test_the_final_model_learns_from_train_and_validation_and_never_from_test(tiny):
    result = trained(tiny, "als", *ALS[2:])
    data = dataset.load(DataConfig(**dataset.config_of(tiny)))
    rows = bundle.load(bundle_of(result)).model.train_
    assert rows.fingerprint == data.split.train_and_validation.fingerprint


def test_early_stopping_chooses_the_length_of_the_refit(tiny, client):
    small = [
        "--model.params.factors=4",
        "--model.params.layers=[8]",
        "--model.params.epochs=3",
        "--model.params.patience=1",
    ]
    result = trained(tiny, "ncf", *small)
    run = client.get_run(result.run_id)
    curve = client.get_metric_history(result.run_id, "training/validation_ndcg_at_10")
    assert len(curve) >= 1
    best = max(curve, key=lambda point: (point.value, -point.step)).step
    assert run.data.params["model.params.epochs"] == str(best)
    assert len(client.get_metric_history(result.run_id, "training/refit_loss")) == best
    assert "plots/learning_curve.png" in {file.path for file in client.list_artifacts(result.run_id, "plots")}


def searched(tiny, client, rates, *, epochs, trials):
    """The run of a search of NCF's learning rate among `rates`, and the runs of its trials."""
    config = model_config_of("ncf")
    params = {**config.params, "factors": 4, "epochs": epochs, "learning_rate": 0.05}
    search = {"learning_rate": SearchRange(choices=rates)}
    settings = train.settings_from("ncf", tiny, QUICK, {"trials": trials})
    model = config.model_copy(update={"params": params, "search": search, "presets": {}})
    run = client.get_run(train.run(settings.model_copy(update={"model": model})).run_id)
    inside = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    return run, client.search_runs([run.info.experiment_id], inside)


def test_a_trial_that_diverges_is_given_up_and_the_search_goes_on(tiny, client):
    run, children = searched(tiny, client, (0.05, 1e30), epochs=3, trials=3)
    diverged = {
        child.data.params["model.params.learning_rate"]: child.data.metrics.get("diverged") for child in children
    }
    assert diverged == {"0.05": None, "1e+30": 1.0}
    assert run.data.params["model.params.learning_rate"] == "0.05"


def test_a_model_of_fixed_length_watches_validation_in_a_search_and_is_pruned(tiny, client, monkeypatch):
    monkeypatch.setattr(tuning.study, "STARTUP_TRIALS", 1)
    monkeypatch.setattr(tuning.study, "WARMUP_STEPS", 0)
    assert model_config_of("ncf").params["patience"] == 0
    run, children = searched(tiny, client, (0.05, 1e-7), epochs=4, trials=4)
    lengths = {
        len(client.get_metric_history(child.info.run_id, "validation_ndcg_at_10")): "pruned" in child.data.metrics
        for child in children
    }
    assert max(lengths) >= 4
    assert any(pruned and length < 4 for length, pruned in lengths.items())
    assert {child.info.status for child in children} == {"FINISHED"}
    assert run.data.params["model.params.learning_rate"] == "0.05"


def test_a_full_study_database_is_one_clear_line_and_a_failed_run(tiny, client, monkeypatch):
    def full(*_, **__):
        raise RuntimeError("commit") from sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(tuning, "search", full)
    with pytest.raises(StoreError, match=r"optuna\.db: the disk is full"):
        trained(tiny, "als", *ALS[2:], trials=2)
    assert [run.info.status for run in client.search_runs(["1"])] == ["FAILED"]


def test_the_test_rows_are_looked_at_once_however_long_the_search(tiny, monkeypatch):
    looked, look = [], train.evaluate

    def watched(model, rows, **options):
        looked.append(rows.fingerprint)
        return look(model, rows, **options)

    monkeypatch.setattr(train, "evaluate", watched)
    monkeypatch.setattr(trials_alone, "evaluate", watched)
    trained(tiny, "als", *ALS[2:], trials=3)
    split = dataset.load(DataConfig(**dataset.config_of(tiny))).split
    assert looked == [split.validation.fingerprint] * 3 + [split.test.fingerprint]


def test_a_run_logs_system_metrics_signature_example_and_plots(tiny, client, monkeypatch):
    monkeypatch.setattr(tracking.runs, "SYSTEM_METRICS_SECONDS", 0.2)
    result = trained(tiny, "als", *ALS[2:], trials=6)
    usage = tracking.table_of(result.run_id, "system_metrics")
    assert {"seconds", "cpu_utilization_percentage", "system_memory_usage_megabytes"} <= set(usage.columns)
    assert len(usage)
    assert not any(name.startswith("system/") for name in client.get_run(result.run_id).data.metrics)
    about = mlflow.models.get_model_info(result.model_uri)
    assert about.signature.inputs.input_names() == ["user_id"]
    assert about.saved_input_example_info is not None
    assert {file.path for file in client.list_artifacts(result.run_id, "plots")} == {
        f"plots/{name}.png"
        for name in (
            *("coverage", "learning_curve", "long_tail", "metric_by_segment", "scores"),
            *("optuna_history", "optuna_importances", "optuna_parallel_coordinates", "optuna_slices"),
        )
    }
    card = mlflow.artifacts.load_text(f"runs:/{result.run_id}/model_card.md")
    for heading in ("# als", "## Data", "## Hyperparameters", "## Quality on the test rows", "## Limits"):
        assert heading in card.splitlines()


def test_a_disk_that_fills_up_while_the_model_is_logged_leaves_nothing_to_trip_over(tiny, client, monkeypatch):
    copy = LocalArtifactRepository.log_artifacts

    def half(repository, folder, artifact_path=None):
        copy(repository, Path(folder) / "artifacts", artifact_path)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(LocalArtifactRepository, "log_artifacts", half)
    with pytest.raises(StoreError, match="the disk is full. Free some space and run again"):
        trained(tiny, "als", *ALS[2:], register=True)
    (run,) = client.search_runs(["1"])
    assert run.info.status == "FAILED"
    assert client.search_registered_models() == []
    with pytest.raises(RegistryError, match="ended FAILED has no model to register"):
        registry.register(run.info.run_id)
    monkeypatch.setattr(LocalArtifactRepository, "log_artifacts", copy)
    assert trained(tiny, "als", *ALS[2:], register=True).version == 1


def test_the_same_seed_gives_the_same_metrics(tiny):
    first, second = (trained(tiny, "als", *ALS[2:]).metrics for _ in range(2))
    timing = {"latency_p50_ms", "latency_p95_ms"}
    assert {k: v for k, v in first.items() if k not in timing} == {k: v for k, v in second.items() if k not in timing}


def test_a_misspelt_override_ends_before_any_run(tiny, client):
    with pytest.raises(
        ConfigError, match=r"--model.params.factrs: no such setting. Did you mean 'model.params.factors'"
    ):
        train.settings_from("als", tiny, ["--model.params.factrs", "9"])


def test_too_little_data_fails_the_run_and_says_how_much_is_needed(workspace, client):
    (workspace / "five.csv").write_text(
        "user_id,item_id,timestamp\n" + "".join(f"u{i % 3},i{i},{i}\n" for i in range(12))
    )
    settings = train.settings_from("lambdarank", str(workspace / "five.csv"), QUICK)
    with pytest.raises(TooLittleData, match="lambdarank needs at least 100"):
        train.run(settings)
    experiment = client.get_experiment_by_name("recstage")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert "needs at least 100" in run.data.tags["failure"]


@pytest.mark.parametrize("trials", [0, 3])
def test_an_interrupted_run_is_killed_and_nothing_stays_running(tiny, client, monkeypatch, trials):
    def interrupted(*given, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "evaluate", interrupted)
    monkeypatch.setattr(trials_alone, "evaluate", interrupted)
    monkeypatch.setattr(tracking.runs, "_ignore", lambda sign: None)
    with pytest.raises(KeyboardInterrupt):
        trained(tiny, "als", *ALS[2:], trials=trials)
    experiment = client.get_experiment_by_name("recstage")
    killed = ["KILLED", "KILLED"] if trials else ["KILLED"]
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == killed


def test_an_interrupted_fit_goes_on_where_it_stopped(tiny, workspace, monkeypatch, caplog):
    small = [
        "--model.params.factors=4",
        "--model.params.layers=[8]",
        "--model.params.epochs=4",
        "--model.params.patience=9",
    ]
    whole = trained(tiny, "ncf", *small)
    log = tracking.log_metrics
    steps = []

    def interrupting(run_id, metrics, step=0, **more):
        log(run_id, metrics, step, **more)
        if "training/loss" in metrics:
            steps.append(step)
            if len(steps) == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(tracking, "log_metrics", interrupting)
    monkeypatch.setattr(train, "LIVE_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(tracking.runs, "_ignore", lambda sign: None)
    with pytest.raises(KeyboardInterrupt) as stopped:
        trained(tiny, "ncf", *small)
    assert stopped.value.__notes__[0].startswith("kept the fit up to epoch 2; the same command resumes")
    assert list((workspace / "data" / "checkpoints").iterdir())
    caplog.set_level(logging.INFO)
    resumed = trained(tiny, "ncf", *small)
    assert "ncf fit: resuming at epoch 3" in caplog.messages
    assert steps[2:][0] > 1, "the second run must not start from the first epoch"
    assert resumed.metrics["ndcg_at_10"] == whole.metrics["ndcg_at_10"]
    assert not list((workspace / "data" / "checkpoints").iterdir())


def test_values_of_metrics_are_finite(tiny):
    assert all(np.isfinite(value) for value in trained(tiny, "popularity").metrics.values())
