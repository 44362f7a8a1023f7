"""A service that listens, for the tests of the client."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from serving.app import create_app
from serving.settings import ServingSettings
from tests.serving.doubles import FakePointer

KEY = "a-Strong-one-4-tests9"


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service on a free port, with a database and without a model."""
    folder = tmp_path_factory.mktemp("service")
    settings = ServingSettings(
        bundle_dir=folder / "serving",
        follow_registry=False,
        database_url=f"sqlite:///{folder}/service.db",
        fallback_refresh_seconds=0.1,
        max_lag_ms=60_000,
        queue_lag_ms=60_000,
    )
    app = create_app(settings, pointer=FakePointer())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=20)
