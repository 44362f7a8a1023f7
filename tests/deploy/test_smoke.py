"""The deployment of compose.yaml as plain processes: its commands and settings, from an empty cluster to a promotion.

PostgreSQL holds runs, registry, accounts and events; an S3-compatible store the artifacts; MLflow asks for accounts;
Redis keeps lists.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from recstage import tracking
from recstage.commands import app
from tests.deploy.deployment import PATIENCE_SECONDS, compose, filled_pairs, folder, until
from tests.deploy.parts import USERS, bucket, running_parts, start_mlflow, start_service, versions
from tests.registry_driver import RegistryDriver

pytestmark = pytest.mark.integration
POSTGRES_VARIABLE = "RECSTAGE_TEST_POSTGRES_URL"
DATABASES = ("recstage", "mlflow")


@pytest.fixture
def postgres() -> Iterator[str]:
    """Host and port of a PostgreSQL with the two databases that compose.yaml creates, which are dropped afterwards."""
    named = os.environ.get(POSTGRES_VARIABLE)
    if not named:
        pytest.skip(f"{POSTGRES_VARIABLE} is not set: there is no PostgreSQL to deploy on")
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(named, autocommit=True) as server:
        if server.info.user != compose()["services"]["postgres"]["environment"]["POSTGRES_USER"]:
            pytest.skip(f"{POSTGRES_VARIABLE} names another account than compose.yaml")
        there = {name for (name,) in server.execute("SELECT datname FROM pg_database").fetchall()}
        if there & set(DATABASES):
            pytest.skip(f"the server of {POSTGRES_VARIABLE} has a database that a deployment would create")
        server.execute(f"CREATE DATABASE {DATABASES[0]}")
        server.execute((folder() / "postgres-init.sql").read_text())
        yield f"{server.info.host}:{server.info.port}"
        for name in DATABASES:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def parts(postgres: str, workspace: Path, tmp_path: Path) -> Iterator[tuple[dict[str, str], ExitStack]]:
    """The values of .env, and what ends the processes."""
    with running_parts(postgres, tmp_path) as found:
        yield found


def test_the_settings_of_compose_run_from_an_empty_cluster_to_a_followed_promotion(
    parts, workspace, tmp_path, monkeypatch
):
    import psycopg
    from redis import Redis

    values, running = parts
    environment = filled_pairs("service.env", values)
    start_mlflow(values, running, tmp_path)
    bucket(values).create()
    http = httpx.Client(timeout=PATIENCE_SECONDS)  # a promotion starts a process and asks MLflow some hundred times
    assert http.get(f"{values['MLFLOW_URL']}/api/2.0/mlflow/experiments/get?experiment_id=0").status_code == 401

    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, environment[name])
    client = tracking.connect()
    registry = RegistryDriver(client, workspace, client.create_experiment("toy"))
    assert registry.register("popularity") == 1
    assert app.main(["promote", "--reason", "the first"]) == 0
    assert [one.key for one in bucket(values).objects.all() if one.key.endswith("/bundle/manifest.json")]

    url, service = start_service(environment, running, tmp_path)
    as_shop, as_admin = ({"X-API-Key": values[name]} for name in USERS)
    until(lambda: versions(url, values["ops"]) == {"1"}, "both workers serve the first version", service)
    assert http.get(f"{url}/api/recommendations?user_id=u1").status_code == 401
    listed = http.get(f"{url}/api/recommendations?user_id=u1", headers=as_shop).json()
    event = {"user_id": "u1", "item_id": listed["items"][0]["item_id"], "interaction_type": "like"}
    assert http.post(f"{url}/api/interactions", headers=as_shop, json=event).status_code == 201
    with psycopg.connect(environment["RECSTAGE_SERVING_DATABASE_URL"]) as database:
        stored = database.execute("SELECT user_id, item_id, interaction_type FROM user_interactions").fetchall()
    assert stored == [tuple(event.values())]
    assert Redis.from_url(environment["RECSTAGE_SERVING_REDIS_URL"]).dbsize() > 0

    assert registry.register("popularity") == 2
    change = {"version": "2", "reason": "the second", "force": True}
    promoted = http.post(f"{url}/api/operations/promote", headers=as_admin, json=change)
    assert promoted.status_code == 200, promoted.text
    until(lambda: versions(url, values["ops"]) == {"2"}, "both workers follow the promotion", service)
