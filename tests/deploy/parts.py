"""PostgreSQL's neighbours of compose.yaml as plain processes: Redis, the S3-compatible store, MLflow, the service."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.deployment import Process, command, compose, filled, filled_pairs, free_port, until

USERS = {"prometheus": "service", "ops": "admin"}


@contextmanager
def running_parts(postgres: str, folder: Path) -> Iterator[tuple[dict[str, str], ExitStack]]:
    """The values of .env for a PostgreSQL, and what ends the processes. Redis and the S3-compatible store run."""
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
        "READ_DATABASE_URL": "",
        "POSTGRES_HOST": postgres,
        "REDIS_HOST": f"127.0.0.1:{redis}",
        "OBJECTS_URL": f"http://127.0.0.1:{objects}",
        "MLFLOW_URL": f"http://127.0.0.1:{mlflow}",
        "MLFLOW_HOSTS": f"127.0.0.1:{mlflow}",
    }
    with ExitStack() as running:
        words = [filled(word, values) for word in compose()["services"]["redis"]["command"]]
        words += ["--bind", "127.0.0.1", "--port", str(redis), "--dir", str(folder)]
        running.callback(Process(words, folder / "redis.log", {}).stop)
        store = Process(["python", "-m", "moto.server", "-p", str(objects)], folder / "objects.log", {})
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


def bucket(values: dict[str, str]) -> Any:
    """The bucket of the artifacts."""
    import boto3

    objects = filled_pairs("mlflow.env", values)
    return boto3.resource(
        "s3",
        endpoint_url=objects["MLFLOW_S3_ENDPOINT_URL"],
        aws_access_key_id=objects["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=objects["AWS_SECRET_ACCESS_KEY"],
        region_name=objects["AWS_DEFAULT_REGION"],
    ).Bucket("mlflow")
