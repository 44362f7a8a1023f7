"""The service as a process, with a real registry: promotion, rollback, broken versions, an unavailable registry."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from mlflow import MlflowClient

from recstage import bundle
from recstage.config import root
from recstage.models.baselines.popularity import Popularity
from recstage.models.factorization.als import ALS
from serving.models.repository import BundleRepository, ProductionVersion

pytestmark = pytest.mark.integration

PATIENCE_SECONDS = 180.0


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition. (How soon a promotion is followed is measured by the benchmark `promotions`.)"""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s"
        time.sleep(0.02)


class Running:
    """A service process."""

    def __init__(self, folder: Path, uri: str, *arguments: str) -> None:
        self.log = folder / "service.log"
        command = [sys.executable, "-m", "serving", "--port", "0", "--bundle_dir", str(folder / "serving")]
        environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "OMP_NUM_THREADS": "1"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--database_url", "", *arguments], stderr=log, cwd=root(), env=environment
            )
        until(lambda: '"event":"listening"' in self.log.read_text() or self.process.poll() is not None)
        self.url = self.log.read_text().split('"url":"')[1].split('"')[0]
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE_SECONDS)

    def version(self) -> str | None:
        try:
            answer = self.client.get("/api/model")
        except httpx.TransportError:  # bound, and not listening yet
            return None
        return answer.json().get("version")

    def stop(self) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, als: ALS, popularity: Popularity) -> tuple[Path, str]:
    """A registry with versions 1 (ALS), 2 (popularity) and 3 (ALS, its file cut off), nothing staged; the folder and
    the URI."""
    folder = tmp_path_factory.mktemp("registry")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    client.create_registered_model("recommender")
    for number, model in enumerate((als, popularity, als), start=1):
        source = folder / "artifacts" / str(number)
        bundle.save(model, source / "artifacts" / "bundle")
        client.create_model_version("recommender", str(source), tags={"algorithm": model.name})
    state = folder / "artifacts" / "3" / "artifacts" / "bundle" / "state.npz"
    state.write_bytes(state.read_bytes()[:-7])
    return folder, f"sqlite:///{folder}/mlflow.db"


def promote(uri: str, version: int) -> None:
    """What the MLflow UI does when a user chooses a stage."""
    with pytest.warns(FutureWarning):
        MlflowClient(uri).transition_model_version_stage(
            "recommender", str(version), "Production", archive_existing_versions=True
        )


@contextlib.contextmanager
def load_on(url: str) -> Iterator[list[tuple[int, str | None]]]:
    """Ask without pause in a thread; yields the statuses and versions so far."""
    answers: list[tuple[int, str | None]] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=10) as client:
            while not stop.is_set():
                try:
                    answer = client.get("/api/recommendations", params={"user_id": "u7"})
                    answers.append((answer.status_code, answer.json().get("model_version")))
                except httpx.HTTPError as error:
                    answers.append((0, str(error)))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


def test_promotion_rollback_a_broken_version_and_an_unavailable_registry(registered, tmp_path):
    folder, uri = registered
    service = Running(tmp_path, uri)
    try:
        assert service.client.get("/health/ready").status_code == 503
        promote(uri, 1)
        until(lambda: service.version() == "1")

        with load_on(service.url) as answers:
            for version in (2, 1):
                promote(uri, version)
                until(lambda wanted=str(version): service.version() == wanted)
            time.sleep(0.3)
        assert {status for status, _ in answers} == {200}
        turns = [version for version, _ in itertools.groupby(version for _, version in answers)]
        assert turns == ["1", "2", "1"]

        promote(uri, 3)
        until(lambda: "SHA-256" in " ".join(service.client.get("/health/ready").json()["degraded"]))
        assert service.version() == "1"
        assert service.client.get("/api/model").json()["staged_version"] == "3"
    finally:
        service.stop()

    # the registry is gone, version 3 cannot be had, and a new process answers with what is on disk, at once
    service = Running(tmp_path, f"sqlite:///{folder}/nowhere/that/exists/mlflow.db")
    try:
        until(lambda: service.version() == "1")
        assert service.client.get("/api/recommendations", params={"user_id": "u7"}).json()["method_used"] == "als"
    finally:
        service.stop()


def test_a_registry_database_that_is_replaced_or_taken_away_is_noticed(registered, tmp_path):
    """As by `make clean` and a new training, or by a backup that is renamed into its place."""
    folder, uri = registered
    promote(uri, 1)
    here, backup, again = (tmp_path / name for name in ("mlflow.db", "backup.db", "again.db"))
    for path in (here, backup, again):
        shutil.copy(folder / "mlflow.db", path)
    with contextlib.closing(sqlite3.connect(again)) as connection, connection:  # trained anew: version 1 is another one
        connection.execute(
            "UPDATE model_versions SET creation_time = creation_time + 5000, storage_location = ? WHERE version = 1",
            (str(folder / "artifacts" / "2"),),
        )
    service = Running(tmp_path, f"sqlite:///{here}", "--poll_seconds", "0.1")

    def method() -> str:
        answered = service.client.get("/api/recommendations", params={"user_id": "u7"}).json()
        assert answered.get("model_version", "1") == "1"
        return str(answered.get("method_used"))

    try:
        until(lambda: method() == "als")
        os.replace(again, here)
        until(lambda: method() == "popularity")
        here.unlink()
        until(lambda: "is gone" in " ".join(service.client.get("/health/ready").json()["degraded"]))
        assert method() == "popularity"
        os.replace(backup, here)
        assert service.client.post("/api/model/reload").status_code == 202
        until(lambda: method() == "als")
    finally:
        service.stop()


def test_a_version_that_is_archived_in_the_ui_stops_answering(registered, tmp_path):
    _, uri = registered
    promote(uri, 2)
    service = Running(tmp_path, uri)
    try:
        until(lambda: service.version() == "2")
        with pytest.warns(FutureWarning):
            MlflowClient(uri).transition_model_version_stage("recommender", "2", "Archived")
        until(lambda: service.version() is None)
        answered = service.client.get("/api/recommendations", params={"user_id": "u7"})
        assert (answered.status_code, answered.json()["method_used"]) == (200, "popularity")
    finally:
        service.stop()


def test_an_open_address_without_a_key_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "serving", "--host", "0.0.0.0"], capture_output=True, text=True, cwd=root(), timeout=60
    )
    assert done.returncode == 2
    assert "an unguarded service binds to loopback only" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("argument", "value", "sentence"),
    [
        ("--bundle_dir", "/proc/no/such/place", "the folder of bundles cannot be made"),
        ("--database_url", "nonsense://x", "the service keeps its data in a SQLite file or in PostgreSQL"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(tmp_path, argument, value, sentence):
    command = [sys.executable, "-m", "serving", "--port", "0", "--bundle_dir", str(tmp_path), argument, value]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root(), timeout=60)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_one_clear_line(tmp_path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "serving", "--port", port, "--bundle_dir", str(tmp_path), "--database_url", ""]
        done = subprocess.run(command, capture_output=True, text=True, cwd=root(), timeout=60)
    assert done.returncode == 2
    assert "the address cannot be bound" in done.stderr
    assert "Traceback" not in done.stderr


CONNECTIONS = 48


def connections(worker: psutil.Process) -> int:
    """That a worker has accepted."""
    return sum(one.status == psutil.CONN_ESTABLISHED for one in worker.net_connections())


def test_all_workers_follow(tmp_path, als, popularity):
    repository = BundleRepository(tmp_path / "serving", "recommender")
    repository.prepare()
    for version, model in (("1", als), ("2", popularity)):
        bundle.save(model, repository.versions / version)
    repository.stage(ProductionVersion("recommender", "1", repository.versions / "1"))
    service = Running(tmp_path, "sqlite:///unused.db", "--workers", "2", "--follow_registry", "false")

    def versions() -> set[str | None]:
        found = set()
        for _ in range(20):  # a new connection each: any worker may take it
            with httpx.Client(base_url=service.url, timeout=PATIENCE_SECONDS) as client:
                found.add(client.get("/api/model").json().get("version"))
        return found

    try:
        until(lambda: versions() == {"1"})
        repository.stage(ProductionVersion("recommender", "2", repository.versions / "2"))
        until(lambda: versions() == {"2"})
        counted = service.client.get("/metrics").text
        asked = [line for line in counted.splitlines() if 'recstage_request_seconds_count{method="GET"' in line]
        assert float(next(line for line in asked if "/api/model" in line).split()[-1]) >= 40

        forked_from, *_ = (
            one for one in psutil.Process(service.process.pid).children() if "forkserver" in str(one.cmdline())
        )
        workers = forked_from.children()
        files = [{Path(mapped.path).name for mapped in worker.memory_maps()} for worker in workers]
        assert len(files) == 2
        assert all("train.npz" in names for names in files), "the workers share no arrays"

        address = (httpx.URL(service.url).host, httpx.URL(service.url).port)
        with contextlib.ExitStack() as held:
            workers[0].suspend()  # as where its core does other work
            for _ in range(CONNECTIONS):
                held.enter_context(socket.create_connection(address))
            time.sleep(0.5)
            workers[0].resume()
            until(lambda: sum(map(connections, workers)) >= CONNECTIONS)
            assert min(map(connections, workers)) >= CONNECTIONS // 8, "one worker has them all"

        replaced = workers[0]
        replaced.kill()
        psutil.wait_procs([replaced], timeout=PATIENCE_SECONDS)
        until(lambda: len(forked_from.children()) == 2)
        for _ in range(CONNECTIONS):  # some of them to the socket of the one that is gone
            with httpx.Client(base_url=service.url, timeout=PATIENCE_SECONDS) as client:
                assert client.get("/api/model").json().get("version") == "2"

        workers = forked_from.children()
        forked_from.kill()  # it can start no worker again: they end, others start
        psutil.wait_procs(workers, timeout=PATIENCE_SECONDS)
        assert not any(worker.is_running() for worker in workers)
        until(lambda: service.version() == "2")
    finally:
        service.stop()
