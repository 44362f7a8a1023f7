"""The deployment of compose.yaml as plain processes: its commands and settings, from an empty cluster to a promotion.

PostgreSQL holds runs, registry, accounts and events; an S3-compatible store the artifacts; MLflow asks for accounts;
Redis keeps lists.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from recstage import tracking
from recstage.commands import app
from tests.deploy.deployment import (
    Process,
    command,
    compose,
    filled,
    filled_pairs,
    folder,
    free_port,
    until,
)
from tests.registry_driver import RegistryDriver

pytestmark = pytest.mark.integration
POSTGRES_VARIABLE = "RECSTAGE_TEST_POSTGRES_URL"
USERS = {"prometheus": "service", "ops": "admin"}
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
    """The values of .env, and what ends the processes. Redis and the S3-compatible store run."""
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server: apt-get install redis-server")
    for module in ("moto", "boto3", "flask_wtf"):
        pytest.importorskip(module, reason=f"{module} is not installed: pip install -e '.[dev]'")
    redis, objects, mlflow = (free_port() for _ in range(3))
    values = {
        name: secrets.token_urlsafe(24) for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "S3_KEY", "S3_SECRET")
    }
    values |= {name: secrets.token_urlsafe(24) for name in ("MLFLOW_SECRET", "MLFLOW_PASSWORD", *USERS)}
    keys = [
        {"name": name, "role": role, "sha256": hashlib.sha256(values[name].encode()).hexdigest()}
        for name, role in USERS.items()
    ]
    values |= {
        "API_KEYS": json.dumps(keys),
        "POSTGRES_HOST": postgres,
        "REDIS_HOST": f"127.0.0.1:{redis}",
        "OBJECTS_URL": f"http://127.0.0.1:{objects}",
        "MLFLOW_URL": f"http://127.0.0.1:{mlflow}",
        "MLFLOW_HOSTS": f"127.0.0.1:{mlflow}",
    }
    with ExitStack() as running:
        words = [filled(word, values) for word in compose()["services"]["redis"]["command"]]
        words += ["--bind", "127.0.0.1", "--port", str(redis), "--dir", str(tmp_path)]
        running.callback(Process(words, tmp_path / "redis.log", {}).stop)
        store = Process(["python", "-m", "moto.server", "-p", str(objects)], tmp_path / "objects.log", {})
        running.callback(store.stop)
        yield values, running


def start_mlflow(values: dict[str, str], running: ExitStack, tmp_path: Path) -> None:
    """The command of mlflow.Dockerfile with mlflow.env and the accounts of compose.yaml."""
    accounts = tmp_path / "auth.ini"
    accounts.write_text(filled(compose()["configs"]["mlflow_auth"]["content"], values))
    port = values["MLFLOW_URL"].rpartition(":")[2]
    words = [word.replace("0.0.0.0", "127.0.0.1").replace("5000", port) for word in command("mlflow.Dockerfile")]
    here = {"MLFLOW_AUTH_CONFIG_PATH": str(accounts), "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_WORKERS": "1"}
    server = Process(words, tmp_path / "mlflow.log", {**filled_pairs("mlflow.env", values), **here})
    running.callback(server.stop)

    def healthy() -> bool:
        try:
            return httpx.get(f"{values['MLFLOW_URL']}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    until(healthy, "MLflow starts", server)


def start_service(environment: dict[str, str], running: ExitStack, tmp_path: Path) -> tuple[str, Process]:
    """The commands of the services `database` and `service`. Returns the address, and the service."""
    upgrade = compose()["services"]["database"]["command"]
    upgraded = Process(upgrade, tmp_path / "upgrade.log", environment)
    assert upgraded.wait() == 0, upgraded.said()
    service = Process(
        command("service.Dockerfile"), tmp_path / "service.log", {**environment, "RECSTAGE_SERVING_PORT": "0"}
    )
    running.callback(service.stop)
    until(lambda: '"event":"listening"' in service.said(), "the service starts", service)
    return re.findall(r'"url":"([^"]+)"', service.said())[0], service


def versions(url: str, key: str) -> set[str | None]:
    """What the workers serve; a new connection each, which any of them may take."""
    found = set()
    for _ in range(16):
        try:
            found.add(httpx.get(f"{url}/api/model", headers={"X-API-Key": key}, timeout=30).json().get("version"))
        except httpx.TransportError:  # a worker that waits for its first version accepts no connection yet
            return set()
    return found


def test_the_settings_of_compose_run_from_an_empty_cluster_to_a_followed_promotion(
    parts, workspace, tmp_path, monkeypatch
):
    import boto3
    import psycopg
    from redis import Redis

    values, running = parts
    environment = filled_pairs("service.env", values)
    objects = filled_pairs("mlflow.env", values)

    def bucket() -> boto3.resources.base.ServiceResource:
        return boto3.resource(
            "s3",
            endpoint_url=objects["MLFLOW_S3_ENDPOINT_URL"],
            aws_access_key_id=objects["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=objects["AWS_SECRET_ACCESS_KEY"],
            region_name=objects["AWS_DEFAULT_REGION"],
        ).Bucket("mlflow")

    start_mlflow(values, running, tmp_path)
    bucket().create()
    assert httpx.get(f"{values['MLFLOW_URL']}/api/2.0/mlflow/experiments/get?experiment_id=0").status_code == 401

    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, environment[name])
    client = tracking.connect()
    registry = RegistryDriver(client, workspace, client.create_experiment("toy"))
    assert registry.register("popularity") == 1
    assert app.main(["promote", "--reason", "the first"]) == 0
    assert [one.key for one in bucket().objects.all() if one.key.endswith("/bundle/manifest.json")]

    url, service = start_service(environment, running, tmp_path)
    as_shop, as_admin = ({"X-API-Key": values[name]} for name in USERS)
    until(lambda: versions(url, values["ops"]) == {"1"}, "both workers serve the first version", service)
    assert httpx.get(f"{url}/api/recommendations?user_id=u1").status_code == 401
    listed = httpx.get(f"{url}/api/recommendations?user_id=u1", headers=as_shop).json()
    event = {"user_id": "u1", "item_id": listed["items"][0]["item_id"], "interaction_type": "like"}
    assert httpx.post(f"{url}/api/interactions", headers=as_shop, json=event).status_code == 201
    with psycopg.connect(environment["RECSTAGE_SERVING_DATABASE_URL"]) as database:
        stored = database.execute("SELECT user_id, item_id, interaction_type FROM user_interactions").fetchall()
    assert stored == [tuple(event.values())]
    assert Redis.from_url(environment["RECSTAGE_SERVING_REDIS_URL"]).dbsize() > 0

    assert registry.register("popularity") == 2
    change = {"version": "2", "reason": "the second", "force": True}
    promoted = httpx.post(f"{url}/api/operations/promote", headers=as_admin, json=change, timeout=60)
    assert promoted.status_code == 200, promoted.text
    until(lambda: versions(url, values["ops"]) == {"2"}, "both workers follow the promotion", service)
