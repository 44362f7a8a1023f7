"""A running installation of version 0.1 is taken over without a hand on it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest

from recstage import bundle, config, models, renamed, tracking
from recstage.data import dataset
from recstage.steps.train_settings import settings_from

pytestmark = pytest.mark.integration

TOLERANCE = 1e-3
READY_SECONDS = 60


# -- the registry -----------------------------------------------------------------------------------------------------


def test_the_history_of_promotions_is_what_it_was(installation):
    found, before = installation.step("history"), installation.recorded["history"]
    assert found["production"] == before["production"]
    assert found["changes"] == before["changes"]


def test_all_old_versions_are_compared_with_production(installation):
    found = str(installation.step("compare"))
    for name in ("als", "hybrid", "lambdarank", "two-tower", "ncf"):
        assert name in found


# -- the models -------------------------------------------------------------------------------------------------------


@pytest.fixture
def connected(installation, monkeypatch) -> Iterator[None]:
    monkeypatch.setenv("RECSTAGE_HOME", str(installation.home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    config.root.cache_clear()
    tracking.connect()
    yield
    mlflow.set_tracking_uri(None)
    config.root.cache_clear()


def test_the_pyfunc_of_every_old_version_answers_as_before(installation, connected):
    recorded = installation.recorded["predictions"]
    assert len(recorded) == 11
    for name, before in recorded.items():
        model = mlflow.pyfunc.load_model(f"models:/recommender/{installation.recorded['versions'][name]}")
        users = pd.DataFrame({"user_id": [row["user_id"] for row in before]})
        found = model.predict(users, params={"k": 5}).to_dict(orient="records")
        for now, then in zip(found, before, strict=True):
            assert now["method"] == then["method"], name
            assert same_order(now["item_ids"], now["scores"], then["item_ids"], then["scores"]), (name, now, then)


def test_every_old_bundle_is_loaded_and_scores_as_when_it_was_saved(installation):
    folders = [path.parent for path in installation.home.glob("mlruns/*/models/*/artifacts/**/manifest.json")]
    assert len(folders) == 13
    for folder in folders:
        bundle.verify_answers(bundle.load(folder))


def same_order(items: list[str], scores: list[float], items_then: list[str], scores_then: list[float]) -> bool:
    """Whether two lists agree: equal scores, place by place, and equal items but for ties."""
    if not np.allclose(scores, scores_then, rtol=TOLERANCE, atol=TOLERANCE):
        return False
    then = dict(zip(items_then, scores_then, strict=True))
    return all(
        abs(then.get(item, scores_then[-1]) - score) < 2 * TOLERANCE for item, score in zip(items, scores, strict=True)
    )


# -- conf ------------------------------------------------------------------------------------------------------------


def test_every_file_of_the_old_conf_is_understood(installation, connected):
    for name in config.names_in("data"):
        config.check(config.DataConfig, dataset.config_of(name), name)
    for name in config.names_in("model"):
        mine = config.model_config_of(name)
        params = config.check(models.params_class(mine), mine.params, name)
        assert set(settings_from(name, "ml-100k").model.search) <= set(type(params).model_fields)
    for name, schema in (("evaluation", config.EvaluationConfig), ("promotion", config.PromotionConfig)):
        config.check(schema, config.read_yaml(installation.home / "conf" / f"{name}.yaml"), name)


# -- the service ------------------------------------------------------------------------------------------------------


@contextmanager
def service(installation: Any, *options: str, **environment: str) -> Iterator[tuple[httpx.Client, Any]]:
    """The present service on the installation: a client, and the file of its log."""
    log = installation.home / "service.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving", "--port", "0", *options],
            cwd=installation.home,
            env={**installation.environment, **environment},
            stderr=errors,
        )
        try:
            yield wait_for(process, log), log
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait_for(process: subprocess.Popen, log: Any) -> httpx.Client:
    """A client of the service, once a version answers."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        address = [line.split('"url":"')[1].split('"')[0] for line in log.read_text().splitlines() if '"url":"' in line]
        if address:
            client = httpx.Client(base_url=address[0], timeout=30)
            if version_of(client) is not None:
                return client
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def version_of(client: httpx.Client) -> str | None:
    answer = client.get("/api/model")
    return answer.json()["version"] if answer.status_code == 200 else None


def follows(client: httpx.Client, version: object) -> bool:
    """Whether the service comes to serve a version."""
    deadline = time.monotonic() + READY_SECONDS
    while version_of(client) != str(version):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def check_answers(installation: Any, client: httpx.Client) -> None:
    """Each recorded request is answered as it was; what counts shown lists has gone on counting."""
    for path, (status, then) in installation.recorded["answers"].items():
        answer = client.get(path)
        assert answer.status_code == status, path
        now = answer.json()
        if "recommendations?" in path or "recommended-users" in path:
            rows, key = ("items", "item_id") if "items" in then else ("users", "user_id")
            assert now["method_used"] == then["method_used"], path
            assert now["model_version"] == then["model_version"], path
            assert [row[key] for row in now[rows]] == [row[key] for row in then[rows]], path
            scores = [[row["score"] for row in body[rows]] for body in (now, then)]
            assert np.allclose(*scores, rtol=TOLERANCE, atol=TOLERANCE), path
        elif path.endswith("/stats"):
            assert now["counts"] == then["counts"]
            assert now["shown"] >= then["shown"]
        else:
            assert {name: now.get(name) for name in then} == then, path


def test_the_service_answers_as_before_and_follows_promotions_of_old_versions(unpacked):
    installation = unpacked()
    versions, old = installation.recorded["versions"], installation.recorded["environment"]
    with service(installation, **old) as (client, log):
        told = [line for line in log.read_text().splitlines() if "only this version still takes the old name" in line]
        assert len(told) == len(renamed.SETTINGS), told
        assert all(sum(name in line.lower() for line in told) == 1 for name in renamed.SETTINGS.values())
        assert client.get("/api/model").json()["promotion"] == installation.recorded["model"]["promotion"]
        check_answers(installation, client)
        assert client.get("/api/recommendations?user_id=u06").json()["method_used"] == "popularity"  # erased
        promoted = installation.step("promote", "--version", versions["lambdarank"], "--force", "true")
        assert (promoted["version"], promoted["previous"]) == (versions["lambdarank"], versions["als"])
        assert follows(client, versions["lambdarank"]), log.read_text()
        assert installation.step("rollback")["version"] == versions["als"]
        assert follows(client, versions["als"]), log.read_text()
    changes, before = installation.step("history")["changes"], installation.recorded["history"]["changes"]
    assert changes[: len(before)] == before
    assert [change["version"] for change in changes[len(before) :]] == [versions["lambdarank"], versions["als"]]


def test_the_bundle_folder_answers_with_the_registry_gone(unpacked):
    installation = unpacked()
    (installation.home / "mlflow.db").unlink()
    with service(installation, "--follow_registry", "false") as (client, _):
        check_answers(installation, client)


def test_a_database_of_the_first_revision_is_brought_up_to_date_and_backed_up(unpacked):
    installation = unpacked()
    database, backups = installation.home / "data" / "service.db", installation.home / "data" / "backups"
    assert installation.run("-m", "serving.store", "downgrade", "0001", "--no-backup").status == 0
    before = set(backups.iterdir())
    with service(installation) as (client, log):
        check_answers(installation, client)
    with sqlite3.connect(database) as opened:
        assert opened.execute("SELECT version_num FROM alembic_version").fetchone()[0] > "0001"
    opened.close()
    (kept,) = set(backups.iterdir()) - before
    assert str(kept) in log.read_text()
    verified = installation.run("-m", "serving.store", "verify", kept)
    assert verified.result["revision"] == "0001"


def test_an_old_backup_is_verified_and_restored(unpacked):
    installation = unpacked()
    backup = installation.home / "data" / "backups" / "before-upgrade.db"
    assert installation.run("-m", "serving.store", "verify", backup).status == 0
    assert installation.run("-m", "serving.store", "restore", backup).status == 0


def test_the_old_database_is_training_data_and_an_own_model_with_an_old_class_name_is_trained_on_it(unpacked):
    installation = unpacked()
    found = installation.step("train", "--model", "our-als", "--data", "service", "--data.minimum.interactions", "1")
    assert found["model"] == "our-als"
