"""Two hosts on real stores: PostgreSQL with a replica, an S3-compatible store, MLflow with accounts, Redis.

Trained, promoted, followed by both, events of both, lists computed ahead.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from recstage.config import root
from tests.deploy.deployment import PATIENCE_SECONDS, Process, filled_pairs, until
from tests.deploy.parts import bucket, running_parts, start_mlflow, start_service
from tests.postgres_servers import Server, primary, replica

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]
USERS_OF_BOTH = 6
ADMIN, SHOP = "ops", "prometheus"


@dataclass
class Host:
    """A service on a host of its own: its bundles are its own, the stores are those of all."""

    url: str
    process: Process
    values: dict[str, str]

    def ask(self, path: str, role: str = SHOP, **options) -> httpx.Response:
        method = options.pop("method", "GET")
        return httpx.request(
            method, f"{self.url}{path}", headers={"X-API-Key": self.values[role]}, timeout=PATIENCE_SECONDS, **options
        )

    def version(self) -> str | None:
        try:
            return self.ask("/api/model").json().get("version")
        except httpx.TransportError:
            return None

    def conditions(self) -> dict[str, str]:
        return {one["name"]: one["text"] for one in self.ask("/api/model").json()["conditions"]}


class Deployment:
    """The stores, and what is run on them."""

    def __init__(self, values: dict[str, str], running: ExitStack, folder: Path, home: Path) -> None:
        self.values, self.running, self.folder = values, running, folder
        self.environment = {
            **filled_pairs("service.env", values),
            "RECSTAGE_HOME": str(home),
            "RECSTAGE_SERVING_WORKERS": "1",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of recstage, as training runs it."""
        environment = {**os.environ, **self.environment}
        command = [sys.executable, "-m", *words]
        return subprocess.run(
            command, cwd=root(), env=environment, capture_output=True, text=True, timeout=400, check=False
        )

    def must(self, *words: str) -> dict:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    def host(self, name: str) -> Host:
        folder = self.folder / name
        folder.mkdir()
        own = {"RECSTAGE_SERVING_BUNDLE_DIR": str(folder / "bundles"), "RECSTAGE_SERVING_RATE_LIMIT": "0"}
        url, process = start_service({**self.environment, **own}, self.running, folder)
        return Host(url, process, self.values)

    def rows(self, query: str) -> list[tuple]:
        with psycopg.connect(self.environment["RECSTAGE_SERVING_DATABASE_URL"]) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    with primary("recstage", "mlflow") as first, replica(first) as second:
        yield first, second


@pytest.fixture
def deployment(servers, workspace: Path, tmp_path: Path) -> Iterator[Deployment]:
    first, second = servers
    with running_parts(f"127.0.0.1:{first.port}", tmp_path) as (values, running):
        values |= {"READ_DATABASE_URL": second.url()}
        start_mlflow(values, running, tmp_path)
        bucket(values).create()
        yield Deployment(values, running, tmp_path, workspace)


def trained(deployment: Deployment, tiny: str) -> None:
    deployment.must("recstage", "train", "popularity", "--data", tiny, "--register", "--json")


def test_two_hosts_follow_a_promotion_and_share_events_and_lists(deployment, tiny):
    trained(deployment, tiny)
    deployment.must("recstage", "promote", "--reason", "the first", "--json")
    hosts = [deployment.host(name) for name in ("one", "another")]
    for host in hosts:
        until(lambda host=host: host.version() == "1", "the first version is served", host.process)

    both_write_and_a_like_leaves_the_list_of_the_other_host_at_once(deployment, hosts)
    lists_are_computed_ahead_for_both(deployment, hosts)


def both_write_and_a_like_leaves_the_list_of_the_other_host_at_once(deployment: Deployment, hosts: list[Host]) -> None:
    for number in range(USERS_OF_BOTH):
        here, there = hosts[number % 2], hosts[1 - number % 2]
        listed = here.ask(f"/api/recommendations?user_id=u{number}").json()
        first = listed["items"][0]["item_id"]
        event = {
            "user_id": f"u{number}",
            "item_id": first,
            "interaction_type": "like",
            "request_id": listed["request_id"],
        }
        assert here.ask("/api/interactions", method="POST", json=event).status_code == 201
        again = there.ask(f"/api/recommendations?user_id=u{number}").json()
        assert first not in [one["item_id"] for one in again["items"]]
    assert deployment.rows("SELECT count(*) FROM user_interactions") == [(USERS_OF_BOTH,)]
    shown = "SELECT count(*) FROM recommendation_impressions"
    until(lambda: deployment.rows(shown) == [(2 * USERS_OF_BOTH,)], "all lists are impressions", hosts[0].process)
    for host in hosts:
        until(lambda host=host: "replica-unused" not in host.conditions(), "the replica is read", host.process)


def lists_are_computed_ahead_for_both(deployment: Deployment, hosts: list[Host]) -> None:
    found = deployment.must("serving.store", "precompute")
    assert found["lists"] > 0
    assert deployment.rows("SELECT count(DISTINCT user_id) FROM user_recommendations") == [(found["lists"],)]
    assert {host.ask("/health/ready").status_code for host in hosts} == {200}
