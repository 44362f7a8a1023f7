"""Faults 6 to 10: a registry that is away, slow or wrong, and operations that take Production away."""

from __future__ import annotations

import http.server
import json
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from experiments.benchmarks.environment import API_KEYS, NAME, Running, start_service
from experiments.benchmarks.fault_injection import Unavailable
from experiments.benchmarks.faults.fault import NO_SHEDDING, Outcome, Trials
from experiments.benchmarks.faults.traffic import Traffic, told


def away(trials: Trials) -> Outcome:
    """6: the registry cannot be opened, in the middle and at the start."""
    seconds, name = trials.of(20, 2), "registry-away"
    registry = trials.folder / "mlflow.db"
    with trials.service(name) as service, Traffic(trials, service) as traffic:
        with Unavailable(registry):
            time.sleep(seconds)
        trials.environment.promote(trials.versions[1])
        service.serves(trials.versions[1])
    problems = _failed(traffic)
    with Unavailable(registry), trials.environment.service(name, **NO_SHEDDING) as service:
        took = service.serves(trials.versions[1])
        again = Traffic(trials, service)
        with again:
            time.sleep(seconds)
    late = (f"{took:.1f} s to serve without a registry",) if took > 3 else ()
    lost = traffic.lost(trials.database(name)) + again.lost(trials.database(name))
    tried = f"{seconds} s in the middle, {seconds} s from the start on; lists {told(traffic.reads + again.reads)}"
    return Outcome(tried, tuple(problems + _failed(again)), lost, late)


def wrong(trials: Trials) -> Outcome:
    """7: the registry answers with errors, with nonsense, or not at all."""
    seconds, name = trials.of(8, 1), "registry-wrong"
    with trials.service(name):
        pass  # the bundle is on disk from now on
    problems: list[str] = []
    with _wrong_registry() as registry:
        variables = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{registry.port}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        with start_service(trials.folder, name, variables, api_keys=API_KEYS, **NO_SHEDDING) as service:
            service.serves(trials.versions[0])
            service.until(lambda: registry.asked > 0)  # the sync process imports MLflow first: seconds
            with Traffic(trials, service) as traffic:
                for registry.mode in _WrongRegistry.MODES:
                    time.sleep(seconds)
            if not _degraded(service):
                problems.append("nothing in GET /api/model says so")
    problems += _failed(traffic)
    tried = f"{', '.join(_WrongRegistry.MODES)}, {seconds} s each; lists {told(traffic.reads)}"
    return Outcome(tried, tuple(problems), traffic.lost(trials.database(name)))


def production_deleted(trials: Trials) -> Outcome:
    """8: the version in Production is deleted from the registry."""
    own, name = trials.with_own_registry("deleted-version"), "production-deleted"
    from mlflow import MlflowClient

    with own.service(name) as service, Traffic(own, service) as traffic:
        MlflowClient(own.environment.uri).delete_model_version(NAME, str(own.versions[0]))
        time.sleep(trials.of(5, 2))
        own.environment.promote(own.versions[1])
        service.serves(own.versions[1])
    problems = _failed(traffic)
    return Outcome(
        f"deleted, then another promoted; lists {told(traffic.reads)}",
        tuple(problems),
        traffic.lost(own.database(name)),
    )


def registered_model_deleted(trials: Trials) -> Outcome:
    """9: the whole registered model is deleted."""
    own, name = trials.with_own_registry("deleted-model"), "model-deleted"
    from mlflow import MlflowClient

    problems: list[str] = []
    with own.service(name) as service, Traffic(own, service) as traffic:
        MlflowClient(own.environment.uri).delete_registered_model(NAME)
        until = time.monotonic() + 10
        while not _degraded(service) and time.monotonic() < until:
            time.sleep(0.2)
        if not _degraded(service):
            problems.append("nothing in GET /api/model says so")
    problems += _failed(traffic)
    return Outcome(f"deleted; lists {told(traffic.reads)}", tuple(problems), traffic.lost(own.database(name)))


def contradicting(trials: Trials) -> Outcome:
    """10: two versions are staged Production, then the alias says another version than the stage."""
    own, name = trials.with_own_registry("contradicting"), "contradicting"
    from mlflow import MlflowClient

    first, second = own.versions
    problems: list[str] = []
    with own.service(name) as service, Traffic(own, service) as traffic:
        client = MlflowClient(own.environment.uri)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            client.transition_model_version_stage(NAME, str(second), "Production", archive_existing_versions=False)
        time.sleep(trials.of(4, 2))
        client.set_registered_model_alias(NAME, "production", str(first))
        time.sleep(trials.of(4, 2))
        served = {service.version() for _ in range(20)}
        if len(served) != 1 or not served <= {str(first), str(second)}:
            problems.append(f"versions served: {sorted(map(str, served))}")
    problems += _failed(traffic)
    tried = f"two in Production, alias against stage; version {', '.join(map(str, served))} serves"
    return Outcome(f"{tried}; lists {told(traffic.reads)}", tuple(problems), traffic.lost(own.database(name)))


def _failed(traffic: Traffic) -> list[str]:
    return [f"{traffic.failed_reads} lists failed"] if traffic.failed_reads else []


def _degraded(service: Running) -> bool:
    status, body = service.call("GET", "/api/model")
    return status == 200 and bool(json.loads(body)["degraded"])


class _WrongRegistry(http.server.ThreadingHTTPServer):
    """Answers every request in the way of its `mode`."""

    MODES = ("500", "a web page", "cut-off JSON", "another object", "silence")
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _WrongAnswers)
        self.port: int = self.server_address[1]
        self.mode = self.MODES[0]
        self.asked = 0


class _WrongAnswers(http.server.BaseHTTPRequestHandler):
    server: _WrongRegistry

    def do_GET(self) -> None:
        self.server.asked += 1
        mode = self.server.mode
        if mode == "silence":
            time.sleep(3)
            return
        body = {"a web page": b"<html>", "cut-off JSON": b'{"model_versions": [{', "another object": b'{"x": [1]}'}
        self.send_response(500 if mode == "500" else 200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body.get(mode, b"broken"))

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def _wrong_registry() -> Iterator[_WrongRegistry]:
    server = _WrongRegistry()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
