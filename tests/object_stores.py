"""An S3-compatible store of a test's own on the loopback: moto's server, and buckets in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from recstage.data.files import object_store

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@contextmanager
def running() -> Iterator[str]:
    """The address of a store; skips where moto or boto3 is missing."""
    pytest.importorskip("boto3", reason="boto3 is not installed: pip install -e '.[dev]'")
    moto = pytest.importorskip("moto.server", reason="moto is not installed: pip install -e '.[dev]'")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def environment(monkeypatch: pytest.MonkeyPatch, address: str = "") -> None:
    """Keys for any store, the address of one, and nothing that this machine says of others."""
    for name in (*object_store.ENDPOINTS, *object_store.REGIONS, "AWS_PROFILE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in KEYS:
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    if address:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", address)


@contextmanager
def bucket(address: str, name: str) -> Iterator[Any]:
    """An empty bucket, gone with all that is in it afterwards."""
    import boto3

    found = boto3.resource("s3", endpoint_url=address, region_name="us-east-1").Bucket(name)
    found.create()
    yield found
    found.objects.all().delete()
    found.delete()
