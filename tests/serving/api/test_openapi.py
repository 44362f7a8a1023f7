"""Schemathesis asks what the OpenAPI allows, and much that it forbids: no 5xx, and no answer outside the schema."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from recstage import bundle
from serving.app import create_app
from serving.models.repository import ProductionVersion
from serving.settings import ServingSettings
from tests.serving.doubles import FakePointer

pytestmark = pytest.mark.integration

SEED = "20261120"
EXAMPLES = os.environ.get("RECSTAGE_FUZZ_EXAMPLES", "3")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
)


@pytest.fixture(scope="module")
def url(als, tmp_path_factory) -> Iterator[str]:
    """The service with a database of its own, listening."""
    folder = tmp_path_factory.mktemp("fuzzed")
    bundle.save(als, folder / "bundle")
    pointer = FakePointer(ProductionVersion("recommender", "1", folder / "bundle"))
    chosen = ServingSettings(
        bundle_dir=folder / "serving",
        follow_registry=False,
        database_url=f"sqlite:///{folder}/service.db",
        max_concurrency=10_000,
        max_lag_ms=60_000,
        stream_seconds=0.01,
        stream_poll_seconds=0.01,
    )
    server = uvicorn.Server(uvicorn.Config(create_app(chosen, pointer=pointer), port=0, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=20)


def test_no_5xx_and_nothing_outside_the_schema(url, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
            *("--seed", SEED, "--max-examples", EXAMPLES),
            *("--phases", "examples,coverage,fuzzing", "--checks", ",".join(CHECKS), "--continue-on-failure"),
            *("--suppress-health-check", "all", "--no-shrink", "--warnings", "off"),
            *("--exclude-path", "/api/classify"),  # without a classifier it is 503, as documented
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
