"""Which cluster a session joins, and what is wrong where it cannot."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from recstage import cluster
from recstage.errors import ConfigError


def joined() -> None:
    with cluster.session():
        pass


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ConfigError, match=r"Ray is not installed\. pip install 'recstage\[ray\]', or use backend=local"),
        cluster.session("ray"),
    ):
        pass


def test_the_local_backend_needs_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with cluster.session("local"):
        assert list(cluster.here(lambda shared, one: shared + one, 1, range(3))) == [1, 2, 3]


@pytest.fixture
def nobody_listens() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_an_address_without_a_cluster_is_one_line(monkeypatch, nobody_listens):
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'recstage[ray]'")
    monkeypatch.setenv("RAY_ADDRESS", nobody_listens)
    with pytest.raises(
        ConfigError, match=rf"^RAY_ADDRESS = {nobody_listens}: no Ray cluster answers there\. Start one"
    ):
        joined()


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "somewhere", "host:port"])
def test_an_address_that_is_none_is_one_line(monkeypatch, address):
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'recstage[ray]'")
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigError, match="an address is HOST:PORT of the head node"), cluster.session():
        pass


@pytest.fixture
def somebody_listens() -> Iterator[str]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_another_token_is_one_line(monkeypatch, somebody_listens):
    """Ray 2.60 raises the first where no token was sent, the second where there is none to send."""
    ray = pytest.importorskip("ray", reason="Ray is an extra: pip install 'recstage[ray]'")
    monkeypatch.setenv("RAY_ADDRESS", somebody_listens)
    refused = ConnectionError(f"Failed to connect to Ray cluster at {somebody_listens}")
    refused.__cause__ = RuntimeError("InvalidAuthToken: Authentication token is missing or incorrect")
    for raised in (refused, RuntimeError("Token authentication is enabled but no authentication token was found")):
        monkeypatch.setattr(ray, "init", Mock(side_effect=raised))
        with pytest.raises(ConfigError, match=r"the cluster asks for a token.*Copy .* and set RAY_AUTH_MODE=token"):
            joined()


@pytest.mark.integration
def test_another_version_there_is_one_line(ray_cluster, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "__version__", "2.1.0")
    with (
        pytest.raises(
            ConfigError, match=r"the cluster runs Ray: 2\.\S+, Python: \S+, and this is Ray: 2\.1\.0, Python"
        ),
        cluster.session(),
    ):
        pass


@pytest.mark.integration
def test_a_session_within_a_session_is_the_same_and_keeps_our_handlers(ray_cluster):
    import ray

    before = signal.getsignal(signal.SIGTERM)
    with cluster.session():
        with cluster.session():
            pass
        assert ray.is_initialized()
        assert signal.getsignal(signal.SIGTERM) is before
    assert not ray.is_initialized()
