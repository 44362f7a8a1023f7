"""Two hosts on real stores: PostgreSQL with a replica, an S3-compatible store, MLflow with accounts, Redis.

Trained, promoted, followed by both, events of both, lists computed ahead; then the stores fail.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from recstage.config import root
from tests.deploy.deployment import Process, filled_pairs, until
from tests.deploy.door import Door
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
            method, f"{self.url}{path}", headers={"X-API-Key": self.values[role]}, timeout=60, **options
        )

    def version(self) -> str | None:
        try:
            return self.ask("/api/model").json().get("version")
        except httpx.TransportError:
            return None

    def conditions(self) -> dict[str, str]:
        return {one["name"]: one["text"] for one in self.ask("/api/model").json()["conditions"]}

    def holds(self, work: str) -> bool:
        text = self.ask("/metrics").text
        return f'recstage_elected{{work="{work}"}} 1.0' in text


class Deployment:
    """The stores, and what is run on them."""

    def __init__(self, values: dict[str, str], running: ExitStack, folder: Path, home: Path, door: Door) -> None:
        self.values, self.running, self.folder, self.home, self.door = values, running, folder, home, door
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
        door = Door(int(values["OBJECTS_URL"].rpartition(":")[2]))
        running.callback(door.close)
        values |= {"OBJECTS_URL": f"http://127.0.0.1:{door.port}", "READ_DATABASE_URL": second.url()}
        start_mlflow(values, running, tmp_path)
        bucket(values).create()
        yield Deployment(values, running, tmp_path, workspace, door)


def trained(deployment: Deployment, tiny: str) -> None:
    deployment.must("recstage", "train", "popularity", "--data", tiny, "--register", "--json")


def test_two_hosts_follow_share_and_outlive_the_stores(deployment, servers, tiny):
    trained(deployment, tiny)
    deployment.must("recstage", "promote", "--reason", "the first", "--json")
    hosts = [deployment.host(name) for name in ("one", "another")]
    for host in hosts:
        until(lambda host=host: host.version() == "1", "the first version is served", host.process)

    both_write_and_a_like_leaves_the_list_of_the_other_host_at_once(deployment, hosts)
    lists_are_computed_ahead_for_both(deployment, hosts)
    work_that_is_done_once_goes_to_the_other_host_when_its_process_is_killed(deployment, hosts)
    a_store_of_artifacts_that_refuses_or_is_slow_is_told_and_the_old_version_serves(deployment, hosts[1], tiny)
    a_database_that_restarts_in_the_middle_is_waited_for(deployment, servers[0], hosts[1])


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


def work_that_is_done_once_goes_to_the_other_host_when_its_process_is_killed(
    deployment: Deployment, hosts: list[Host]
) -> None:
    until(lambda: sum(host.holds("erasures") for host in hosts) == 1, "one host is elected", hosts[0].process)
    hosts.sort(key=lambda host: not host.holds("erasures"))
    holder, other = hosts
    holder.process.kill(signal.SIGKILL)
    assert other.ask("/api/users/u0", ADMIN, method="DELETE").status_code == 200
    until(
        lambda: other.ask("/api/users/u0/erasure", ADMIN).json()["finished_at"] is not None,
        "the erasure is finished by the other host",
        other.process,
    )
    assert other.holds("erasures")


def a_store_of_artifacts_that_refuses_or_is_slow_is_told_and_the_old_version_serves(
    deployment: Deployment, host: Host, tiny: str
) -> None:
    trained(deployment, tiny)
    deployment.door.be("shut")
    refused = deployment.run("recstage", "train", "popularity", "--data", tiny, "--json")
    last = refused.stderr.strip().splitlines()[-1]
    assert (refused.returncode, last.startswith("recstage: "), "Traceback" in refused.stderr) == (2, True, False), last
    deployment.must("recstage", "promote", "2", "--force", "--reason", "the second", "--json")
    until(lambda: "version-unfetchable" in host.conditions(), "it is told", host.process)
    assert "its bundle cannot be fetched from the artifact store" in host.conditions()["version-unfetchable"]
    assert (host.version(), host.ask("/api/recommendations?user_id=u1").status_code) == ("1", 200)

    deployment.door.be("slow")
    assert host.ask("/api/model/reload", ADMIN, method="POST").status_code == 202
    until(lambda: "registry-stale" in host.conditions(), "a store that is slow is told", host.process)
    assert host.ask("/api/recommendations?user_id=u1").status_code == 200
    deployment.door.be("open")
    until(lambda: host.version() == "2", "the second version is served in the end", host.process)


def a_database_that_restarts_in_the_middle_is_waited_for(deployment: Deployment, server: Server, host: Host) -> None:
    before = deployment.rows("SELECT count(*) FROM user_interactions")[0][0]
    said: Counter[int] = Counter()
    for number in range(40):
        if number == 10:
            server.restart()
        assert host.ask(f"/api/recommendations?user_id=u{number}").status_code == 200
        event = {"user_id": f"v{number}", "item_id": "any", "interaction_type": "view"}
        said[host.ask("/api/interactions", method="POST", json=event).status_code] += 1
    assert set(said) <= {201, 503}
    assert deployment.rows("SELECT count(*) FROM user_interactions") == [(before + said[201],)]
