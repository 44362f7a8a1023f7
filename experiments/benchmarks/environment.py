"""The environment of the benchmarks: a registry with models, the service, MLflow's own server, and a load generator."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil

from experiments.benchmarks.load_generator import Plan, Report, get
from recstage import bundle, models
from recstage.config import DataConfig, check, model_config_of, root
from recstage.data import dataset
from recstage.data.dataset import Dataset

KEY = "a-key-for-the-benchmarks-only"
API_KEYS = json.dumps([{"name": "benchmark", "role": "admin", "key": KEY}])
NAME = "recommender"
PATIENCE_SECONDS = 120.0


class BenchmarkEnvironment:
    """A folder with a registry (SQLite) and saved models; processes started from it are ended with their context."""

    def __init__(self, folder: Path, data: str) -> None:
        self.folder, self.data_name = folder, data
        self.uri = f"sqlite:///{folder}/mlflow.db"
        self.data: Dataset = dataset.load(check(DataConfig, dataset.config_of(data), data))
        self.users: list[str] = self.data.split.train.users.ids.tolist()
        self._versions = 0

    # -- the registry -------------------------------------------------------------------------------------------------

    def register(self, algorithm: str, **overrides: object) -> int:
        """Fit a model, with `overrides` of its parameters, and register it as a pyfunc. Returns the version."""
        import mlflow
        from mlflow import MlflowClient

        from recstage.pyfunc import signature

        model = models.build(model_config_of(algorithm), **overrides)
        model.fit(self.data.split.train, catalogue=self.data.catalogue, seed=42)
        self._versions += 1
        folder = self.folder / "models" / str(self._versions)
        saved = self.bundle_folder(self._versions)
        bundle.save(model, saved, metadata={"data": self.data.name})
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(signature.FILE),
            artifacts={"bundle": str(saved)},
            signature=signature.signature(),
            pip_requirements=signature.requirements(),
        )
        if self._versions == 1:
            MlflowClient(self.uri).create_registered_model(NAME)
        return self.register_folder(folder, model.name)

    def register_folder(self, folder: Path, algorithm: str) -> int:
        """Register a saved pyfunc as a version, whatever it holds. Returns the version."""
        from mlflow import MlflowClient

        made = MlflowClient(self.uri).create_model_version(NAME, str(folder), tags={"algorithm": algorithm})
        return int(made.version)

    def promote(self, version: int) -> None:
        """Stage a version as Production, as the MLflow UI does."""
        self._stage(version, "Production", archive=True)

    @contextlib.contextmanager
    def challenged(self, version: int, share: str) -> Iterator[None]:
        """A version as Staging while the body runs, in an experiment with this share of the users."""
        from mlflow import MlflowClient

        MlflowClient(self.uri).set_model_version_tag(NAME, str(version), "experiment.share", share)
        self._stage(version, "Staging")
        try:
            yield
        finally:
            self._stage(version, "None")

    def _stage(self, version: int, stage: str, *, archive: bool = False) -> None:
        import warnings

        from mlflow import MlflowClient

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            MlflowClient(self.uri).transition_model_version_stage(
                NAME, str(version), stage, archive_existing_versions=archive
            )

    def model_folder(self, version: int) -> Path:
        return self.folder / "models" / str(version)

    def bundle_folder(self, version: int) -> Path:
        return self.folder / "bundles" / str(version) / "bundle"

    # -- servers ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def service(self, name: str = "service", **settings: object) -> Iterator[Running]:
        """The service with API keys and a database, following this registry; `settings` of the service by name."""
        with start_service(self.folder, name, self._variables(), **{"api_keys": API_KEYS, **settings}) as running:
            yield running

    @contextlib.contextmanager
    def replicas(self, number: int, **settings: object) -> Iterator[Running]:
        """The same as so many replicas on Ray Serve (`serving.ray`), on the cores of this machine."""
        program = ("serving.ray", "--replicas", str(number))
        with start_service(
            self.folder, f"replicas-{number}", self._variables(), program, **{"api_keys": API_KEYS, **settings}
        ) as running:
            yield running

    @contextlib.contextmanager
    def mlflow_server(self, version: int) -> Iterator[Running]:
        """`mlflow models serve` of a registered version, one worker, with its default settings."""
        port = free_port()
        command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", "1"]
        command += ["-m", str(self.model_folder(version)), "--port", str(port)]
        with _process(command, self.folder / "mlflow-serve.log", self._variables()) as process:
            running = Running(process, port)
            running.until(lambda: running.status("/ping") == 200)
            yield running

    @contextlib.contextmanager
    def bare_route(self, version: int) -> Iterator[Running]:
        """The bare FastAPI route of `experiments.benchmarks.bare_route` on the ALS model of a registered version."""
        port = free_port()
        command = [
            sys.executable,
            "-m",
            "experiments.benchmarks.bare_route",
            str(self.bundle_folder(version)),
            str(port),
        ]
        with _process(command, self.folder / "bare-route.log", {"OPENBLAS_NUM_THREADS": "1"}) as process:
            running = Running(process, port)
            running.until(lambda: running.status("/ping") == 200)
            yield running

    def _variables(self) -> dict[str, str]:
        # `mlflow models serve` calls uvicorn by name: also where this environment is not the active one
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        return {"PATH": path, "MLFLOW_TRACKING_URI": self.uri, "MLFLOW_DISABLE_TELEMETRY": "true"}

    # -- load ---------------------------------------------------------------------------------------------------------

    def ask(self, running: Running, **plan: object) -> Report:
        """Send the load of a plan (fields of `Plan`) from a process of its own, and wait for the report."""
        with self.asking(running, **plan) as finish:
            return finish()

    def rate_and_cost(self, running: Running, seconds: float) -> tuple[float, float]:
        """Requests a second under load, and microseconds of processor time a request. Raises where one failed."""
        before = running.cpu_seconds()
        found = self.ask(running, seconds=seconds)
        if found.failed:
            raise RuntimeError(f"{found.failed} requests failed: {found.statuses}")
        return found.a_second, (running.cpu_seconds() - before) / max(1, found.asked) * 1e6

    @contextlib.contextmanager
    def asking(self, running: Running, **plan: object) -> Iterator[Callable[[], Report]]:
        """Send the load of a plan while the body runs; the yielded function waits for the report."""
        values = {"port": running.port, "requests": self.lists(), "connections": 8, "seconds": 10.0, **plan}
        path = self.folder / f"plan-{time.monotonic_ns()}.json"
        path.write_text(json.dumps(asdict(Plan(**values))))  # type: ignore[arg-type]
        command = [sys.executable, "-m", "experiments.benchmarks.load_generator", str(path)]
        process = subprocess.Popen(command, cwd=root(), stdout=subprocess.PIPE)

        def finish() -> Report:
            out, _ = process.communicate()
            return Report(**{**json.loads(out), "statuses": _numbered(json.loads(out)["statuses"])})

        try:
            yield finish
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def lists(self, *, zipf: bool = False, query: str = "limit=10", number: int = 20_000, seed: int = 0) -> list[str]:
        """Requests for recommendations of random users: uniform, or by Zipf's law."""
        rng = np.random.default_rng(seed)
        n = len(self.users)
        if zipf:
            shares = 1 / np.arange(1, n + 1)
            indexes = rng.choice(n, number, p=shares / shares.sum())
        else:
            indexes = rng.permutation(np.resize(rng.permutation(n), max(n, number)))[:number]
        return [get(f"/api/recommendations?user_id={self.users[i]}&{query}", {"X-API-Key": KEY}) for i in indexes]


@contextlib.contextmanager
def start_service(
    folder: Path,
    name: str,
    variables: Mapping[str, str] | None = None,
    program: Sequence[str] = ("serving",),
    /,
    **settings: object,
) -> Iterator[Running]:
    """The service on a free port, once it is live.

    Bundles, log and database are in `folder` under `name`; `variables` of the process's environment; `settings` of the
    service by name. `program`: the module, and its own options.
    """
    chosen = {
        "port": free_port(),
        "bundle_dir": folder / name,
        "database_url": f"sqlite:///{folder}/{name}.db",
        **settings,
    }
    arguments = [part for key, value in chosen.items() for part in (f"--{key}", str(value))]
    command = [sys.executable, "-m", *program, *arguments]
    with _process(command, folder / f"{name}.log", variables or {}) as process:
        running = Running(process, int(str(chosen["port"])))
        running.until(lambda: running.status("/health/live") == 200)
        yield running


@contextlib.contextmanager
def _process(command: Sequence[str], log: Path, variables: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, cwd=root(), env={**os.environ, **variables}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield process
    finally:
        _end(process)


class Running:
    """A server under test."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def call(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Status and body of one request; status 0: no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def status(self, path: str) -> int:
        return self.call("GET", path)[0]

    def version(self) -> str | None:
        status, body = self.call("GET", "/api/model")
        return json.loads(body)["version"] if status == 200 else None

    def until(self, condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS, pause: float = 0.01) -> float:
        """Wait for a condition, checked every `pause` seconds; returns the seconds waited."""
        began = time.monotonic()
        while not condition():
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with status {self.process.returncode}")
            if time.monotonic() - began > seconds:
                raise TimeoutError(f"not within {seconds} s; {self.call('GET', '/health/ready')[1].decode()}")
            time.sleep(pause)
        return time.monotonic() - began

    def serves(self, version: int) -> float:
        """Wait until the service answers with a version; returns the seconds waited."""
        return self.until(lambda: self.version() == str(version), pause=0.05)

    def resident_mb(self) -> float:
        """Memory of the serving process, without that of the registry sync."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    def children(self, kind: str) -> list[psutil.Process]:
        """Processes below the server that live: "worker", or by a word of their command line."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                line, ended = " ".join(process.cmdline()), process.status() == psutil.STATUS_ZOMBIE
                # the command line of a worker is still that of the process it was forked from
                worker = "forkserver" in line and process.ppid() != self.process.pid
            except psutil.Error:
                continue
            if (worker if kind == "worker" else kind in line and not worker) and not ended:
                found.append(process)
        return found

    def descriptors(self) -> int:
        return psutil.Process(self.process.pid).num_fds()

    def cpu_seconds(self) -> float:
        """Processor time used so far, without the registry sync: it depends less on other work on the machine."""
        found = [psutil.Process(self.process.pid)]
        found += [
            child
            for child in found[0].children(recursive=True)
            if "serving.models.registry_sync" not in child.cmdline()
        ]
        return sum(sum(one.cpu_times()[:2]) for one in found)


def free_port() -> int:
    """A port that was free a moment ago."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _numbered(statuses: dict[str, int]) -> dict[int, int]:
    return {int(status): number for status, number in statuses.items()}


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its own session: the process and its children
        process.wait()
