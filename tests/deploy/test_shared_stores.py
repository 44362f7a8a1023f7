"""Two services, as on two hosts, that share PostgreSQL and Redis: limits, lists, work that is done once, a restart."""

from __future__ import annotations

import re
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from serving.store.admin import migrate
from serving.store.db.connection import parse_url
from tests.deploy.deployment import PATIENCE_SECONDS, Process, free_port, until
from tests.postgres_servers import Server, primary

pytestmark = pytest.mark.integration
BURST = 60


@dataclass
class Host:
    """A service on a host of its own."""

    url: str
    process: Process

    def ask(self, path: str, method: str = "GET", **options) -> httpx.Response:
        return httpx.request(method, f"{self.url}{path}", timeout=PATIENCE_SECONDS, **options)

    def holds(self, work: str) -> bool:
        return f'recstage_elected{{work="{work}"}} 1.0' in self.ask("/metrics").text


@pytest.fixture
def server() -> Iterator[Server]:
    with primary("recstage") as found:
        migrate.upgrade(parse_url(found.url()), with_backup=False)
        yield found


@pytest.fixture
def hosts(server, workspace: Path, tmp_path: Path, request) -> Iterator[list[Host]]:
    """Two, with the settings that a test names."""
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server: apt-get install redis-server")
    port = free_port()
    shared = {
        "RECSTAGE_SERVING_DATABASE_URL": server.url(),
        "RECSTAGE_SERVING_REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "RECSTAGE_SERVING_FOLLOW_REGISTRY": "false",
        "RECSTAGE_SERVING_PORT": "0",
        **getattr(request, "param", {}),
    }
    with ExitStack() as running:
        words = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
        running.callback(Process(words, tmp_path / "redis.log", {}).stop)
        found = []
        for name in ("one", "another"):
            own = {"RECSTAGE_SERVING_BUNDLE_DIR": str(tmp_path / name)}
            process = Process(["python", "-m", "serving"], tmp_path / f"{name}.log", {**shared, **own})
            running.callback(process.stop)
            until(lambda process=process: '"event":"listening"' in process.said(), "it starts", process)
            url = re.findall(r'"url":"([^"]+)"', process.said())[0]
            until(lambda url=url: _ready(url), "it is ready", process)
            found.append(Host(url, process))
        yield found


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def rows(server: Server, query: str) -> list[tuple]:
    with psycopg.connect(server.url()) as connection:
        return connection.execute(query).fetchall()


LIMITED = {"RECSTAGE_SERVING_RATE_LIMIT": "0.001", "RECSTAGE_SERVING_RATE_BURST": str(BURST)}


@pytest.mark.parametrize("hosts", [LIMITED], indirect=True, ids=["limited"])
def test_a_caller_has_one_rate_on_all_hosts(hosts):
    answers = [hosts[n % 2].ask("/api/recommendations?user_id=ann").status_code for n in range(BURST + 20)]
    refused = Counter(answers)[429]
    assert refused >= 20  # one bucket of BURST; two of them would refuse none
    assert {host.ask("/api/recommendations?user_id=ann").status_code for host in hosts} == {429}


def test_work_that_is_done_once_goes_to_the_other_host_when_its_process_is_killed(server, hosts):
    event = {"user_id": "ann", "item_id": "film", "interaction_type": "like"}
    assert hosts[1].ask("/api/interactions", "POST", json=event).status_code == 201
    until(lambda: any(host.holds("erasures") for host in hosts), "one is elected", hosts[0].process)
    holder, other = sorted(hosts, key=lambda host: not host.holds("erasures"))
    assert not other.holds("erasures")
    holder.process.kill(signal.SIGKILL)
    assert other.ask("/api/users/ann", "DELETE").status_code == 200
    finished = "SELECT count(*) FROM erasures WHERE finished_at IS NOT NULL"
    until(lambda: rows(server, finished) == [(1,)], "the other host finishes the erasure", other.process)
    assert other.holds("erasures")


def test_no_acknowledged_event_is_lost_when_the_database_restarts(server, hosts):
    said: Counter[int] = Counter()
    for number in range(60):
        if number == 20:
            server.restart()
        host = hosts[number % 2]
        assert host.ask(f"/api/recommendations?user_id=u{number}").status_code in (200, 503)
        event = {"user_id": f"u{number}", "item_id": "film", "interaction_type": "view"}
        said[host.ask("/api/interactions", "POST", json=event).status_code] += 1
    assert set(said) <= {201, 503}
    assert said[201] > 40
    assert rows(server, "SELECT count(*) FROM user_interactions") == [(said[201],)]
