"""`recstage` on a workspace of its own, from training to a second data set."""

import json
import shutil

import mlflow
import pytest
import yaml

import recstage
from recstage import registry, tracking
from recstage.commands import app
from recstage.config import DataConfig, check
from recstage.data import dataset
from recstage.errors import DataError, RegistryError
from recstage.steps import doctor, evaluate

pytestmark = pytest.mark.integration


@pytest.fixture
def trained(workspace, tiny, capsys):
    assert app.main(["train", "popularity", "--data", tiny, "--json", "--evaluation.latency_requests", "0"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_training_registers_a_version_that_promote_makes_production(trained, capsys):
    assert trained["version"] == 1
    assert app.main(["promote", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["version"] == 1


def test_evaluate_rebuilds_the_data_from_what_the_run_logged(workspace, tiny, trained):
    first = json.loads(json.dumps(trained))
    (workspace / "tiny.yaml").unlink()  # the name that the version bears leads nowhere any more
    again = evaluate.run(evaluate.settings_from(["--version", "1"]))
    assert again.metrics["ndcg_at_10"] == pytest.approx(first["metrics"]["ndcg_at_10"])


def test_a_split_by_ratio_on_the_command_line_is_the_one_a_version_is_measured_on_again(workspace, tiny, capsys):
    words = ["--data", tiny, "--data.split.method", "ratio", "--evaluation.latency_requests", "0", "--json"]
    assert app.main(["train", "popularity", *words]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    run = mlflow.get_run(first["run_id"])
    by_name = dataset.load(check(DataConfig, dataset.config_of(tiny), tiny))
    assert by_name.split.method != "ratio"

    again = evaluate.run(evaluate.settings_from(["--version", "1"]))

    assert again.fingerprint == run.data.tags["fingerprint"] != by_name.fingerprint
    assert again.metrics["ndcg_at_10"] == pytest.approx(first["metrics"]["ndcg_at_10"])


def test_a_file_called_as_a_data_set_of_ours_is_measured_on_itself(workspace, capsys):
    rows = [f"visitor-{u},article-{i},{1600000000 + 60 * u + i}" for u in range(40) for i in range(u % 5, u % 5 + 12)]
    (workspace / "feed.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    words = ["--data", str(workspace / "feed.csv"), "--evaluation.latency_requests", "0", "--json"]
    assert app.main(["train", "popularity", *words]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[-1])

    again = evaluate.run(evaluate.settings_from(["--version", "1"]))

    assert again.fingerprint == mlflow.get_run(first["run_id"]).data.tags["fingerprint"]
    (workspace / "feed.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows[:-20]) + "\n")
    shutil.rmtree(workspace / "data")
    with pytest.raises(DataError, match="has changed since: its fingerprint was"):
        evaluate.run(evaluate.settings_from(["--version", "1"]))


def test_a_version_of_other_data_does_not_become_production_unless_it_is_meant(workspace, tiny, trained, capsys):
    assert app.main(["promote"]) == 0
    rows = [f"visitor-{u},article-{i},{1600000000 + 60 * u + i}" for u in range(40) for i in range(u % 5, u % 5 + 12)]
    (workspace / "shop.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    (workspace / "shop.yaml").write_text(
        yaml.safe_dump(
            {
                "source": {"kind": "events", "path": str(workspace / "shop.csv")},
                "weights": {"view": 1.0},
                "split": {"method": "leave-one-out", "negatives": 0},
            }
        )
    )
    words = ["--data", str(workspace / "shop.yaml"), "--evaluation.latency_requests", "0"]
    assert app.main(["train", "popularity", *words]) == 0
    capsys.readouterr()
    assert app.main(["promote", "--force"]) == 3
    said = capsys.readouterr().err
    assert "it was trained on other data (shop) than Production" in said
    assert "0% of the users and 0% of the items are in common" in said
    assert registry.production().number == 1
    assert app.main(["promote", "--new-data"]) == 0
    assert registry.production().number == 2


def test_data_sets_side_by_side_are_a_registered_model_each(workspace, tiny, trained, capsys):
    assert app.main(["train", "popularity", "--data", tiny, "--name", "shop"]) == 0
    assert app.main(["promote", "--name", "shop"]) == 0
    assert registry.production("shop").number == 1
    assert app.main(["status", "--json"]) == 0
    models = json.loads(capsys.readouterr().out.splitlines()[-1])["models"]
    assert {one["name"]: one["version"] for one in models} == {"recommender": None, "shop": 1}


def test_a_moved_checkout_is_found_refused_and_mended(workspace, tiny, trained, monkeypatch, capsys):
    from recstage import config

    mlflow.set_tracking_uri(None)  # as in a new process
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    moved = workspace.with_name("moved")
    workspace.rename(moved)
    monkeypatch.setenv("RECSTAGE_HOME", str(moved))
    config.root.cache_clear()
    tiny = str(moved / "tiny.yaml")
    capsys.readouterr()
    assert app.main(["train", "popularity", "--data", tiny]) == 2
    assert "where this checkout was before it was moved or copied" in capsys.readouterr().err
    assert not workspace.exists()
    with pytest.raises(RegistryError, match="recstage doctor --fix"):
        recstage.load("models:/recommender/1")
    assert [one.old for one in tracking.misplaced()] == [workspace]
    assert not doctor.run(doctor.settings_from()).healthy
    app.main(["doctor", "--fix"])
    assert tracking.misplaced() == []
    assert app.main(["promote"]) == 0
    assert app.main(["train", "popularity", "--data", tiny]) == 0
    assert not workspace.exists()


def test_mlflow_run_on_this_repository_is_known_by_its_command_line(tmp_path):
    from recstage import mlflow_plugin
    from recstage.config import root

    assert mlflow_plugin._runs_this_project(["/bin/mlflow", "run", str(root()), "-e", "als"])
    assert not mlflow_plugin._runs_this_project(["/bin/mlflow", "run", str(tmp_path)])
    assert not mlflow_plugin._runs_this_project(["/bin/mlflow", "ui"])
