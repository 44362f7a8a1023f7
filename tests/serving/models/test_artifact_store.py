"""An S3-compatible store that refuses, or is silent, while a version is fetched: told, the old version serves on, and
then the new one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from mlflow.store.artifact import s3_artifact_repo

from recstage import registry, tracking
from serving.models.registry_sync import RegistrySync
from serving.models.repository import BundleRepository
from tests.deploy.deployment import Process, free_port, until
from tests.deploy.door import Door
from tests.registry_driver import RegistryDriver

pytestmark = pytest.mark.integration


@pytest.fixture
def door(tmp_path, monkeypatch):
    """The door before a store with the bucket `mlflow`."""
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: pip install -e '.[dev]'")
    pytest.importorskip("moto", reason="moto is not installed: pip install -e '.[dev]'")
    port = free_port()
    store = Process(["python", "-m", "moto.server", "-p", str(port)], tmp_path / "objects.log", {})
    until(lambda: _answers(port), "the store starts", store)
    found = Door(port)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", f"http://127.0.0.1:{found.port}")
    boto3.resource("s3", endpoint_url=f"http://127.0.0.1:{port}").Bucket("mlflow").create()
    yield found
    found.close()
    store.stop()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return httpx.get(f"http://127.0.0.1:{port}/moto-api/", timeout=5).status_code < 500
    except (OSError, httpx.TransportError):
        return False


@contextmanager
def new_clients() -> Iterator[None]:
    """MLflow keeps its clients of S3 with the time limits that they were made with."""
    s3_artifact_repo._cached_get_s3_client.cache_clear()
    yield
    s3_artifact_repo._cached_get_s3_client.cache_clear()


@pytest.mark.parametrize("state", ["shut", "slow"])
def test_a_store_that_refuses_or_is_silent_is_told_and_followed_once_it_answers(
    door, state, workspace, tmp_path, monkeypatch
):
    client = tracking.connect()
    driver = RegistryDriver(client, workspace, client.create_experiment("s3", artifact_location="s3://mlflow/runs"))
    repository = BundleRepository(tmp_path / "bundles", "recommender")
    sync = RegistrySync(repository)
    assert driver.register("popularity") == 1
    registry.set_production("recommender", 1, how="promote", by="ada")
    sync.poll()
    assert repository.production().version == "1"

    assert driver.register("popularity") == 2
    registry.set_production("recommender", 2, how="promote", by="ada")
    config = pytest.importorskip("botocore.config").Config
    door.be(state)
    with monkeypatch.context() as patch, new_clients():
        patch.setitem(config.OPTION_DEFAULTS, "read_timeout", 0.5)  # a minute by default
        sync.poll()
    told = repository.last_poll()
    assert (told.about, told.version, repository.production().version) == ("version", "2", "1")
    assert "its bundle cannot be fetched from the artifact store" in told.problem
    assert "See that the artifact store answers" in told.problem
    assert "\n" not in told.problem

    door.be("open")
    repository.request_poll()
    sync.poll()
    assert (repository.last_poll().problem, repository.production().version) == (None, "2")
