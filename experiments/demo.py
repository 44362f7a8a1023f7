"""`make demo`: the whole path once, with real parts: train, compare, promote, serve, promote another, roll back."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from recstage import registry, tracking
from recstage.cli import main, named
from recstage.config import root
from recstage.errors import NoProduction, StoreError
from recstage.steps import pipeline
from recstage.steps.registry import promote, rollback

TRIALS = "3"
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class DemoResult:
    """The versions that were served, in order: first promotion, second promotion, after the rollback."""

    served: list[int]
    metrics: dict[str, float]


def step(arguments: Sequence[str]) -> DemoResult:
    """Train on `--data`, then let the service follow a promotion, another one, and a rollback."""
    names, rest = named(arguments, data="synthetic", trials=TRIALS)
    report("1. prepare the data, train and tune the models, compare them, promote the best through the gate")
    trained = pipeline.run(
        pipeline.settings_from(["--data", names["data"], "--trials", names["trials"], *rest]),
    )
    for one in sorted(trained.trained, key=lambda result: -result.metrics["ndcg_at_10"]):
        seconds = sum(one.seconds.values())
        report(
            f"   version {one.version}  {one.model:<12} ndcg_at_10 {one.metrics['ndcg_at_10']:.4f}  in {seconds:.1f} s"
        )
    for model, reason in trained.skipped.items():
        report(f"   {model} left out: {reason}")
    if trained.kept_because:
        report(f"   the gate kept what was in Production: {trained.kept_because}")
    tracking.connect()
    first = _production(max(trained.trained, key=lambda result: result.metrics["ndcg_at_10"]).version)
    user = _user_with_history(first)
    report("2. start the service and request a list")
    with _service() as get:
        served = [_request(get, user, first)]
        other = _another(first)
        report(f"3. promote version {other} by hand, past the gate, and request again")
        promote.run(promote.settings_from(["--version", str(other), "--force", "true", "--reason", "demo"]))
        served.append(_request(get, user, other))
        report("4. roll back, and request again")
        rollback.run(rollback.settings_from(["--reason", "demo"]))
        served.append(_request(get, user, first))
    report("")
    report("All runs, plots and versions are in the MLflow UI:  make ui   (then http://127.0.0.1:5000)")
    report("The service on what is in Production:               make serve")
    report("Notebooks:                                          make lab")
    return DemoResult(served, trained.best_trained_metrics)


def report(text: str) -> None:
    """A line of progress."""
    print(text, flush=True)


def _production(best: int | None) -> int:
    """The version in Production; where the gate refused all, the best is promoted by hand."""
    try:
        return registry.production().number
    except NoProduction:
        report(f"   nothing is in Production: version {best} is promoted by hand")
        options = ["--version", str(best), "--force", "true", "--reason", "demo: the gate refused all"]
        return promote.run(promote.settings_from(options)).version


def _user_with_history(version: int) -> str:
    """A user with a history."""
    from recstage import bundle

    folder = registry.fetch(registry.version_of("recommender", version))
    model = bundle.load(folder).model
    return str(model.train_.users.ids[int(model.train_.lengths.argmax())])


def _another(number: int) -> int:
    """The best version apart from the given one, of the same data where there is one."""
    ours = registry.version_of("recommender", number)
    others = [version for version in registry.versions() if version.number != number]
    others = [version for version in others if version.group == ours.group] or others
    return max(others, key=lambda version: float(version.tags.get("ndcg_at_10", 0))).number


@contextmanager
def _service() -> Iterator[Callable[..., Any]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving", "--port", str(port)],
            cwd=root(),
            env=tracking.outside_environment(),
            stdout=log,
            stderr=log,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                _until(lambda: _ready(process, client), "the service does not get ready")
                yield lambda path, **query: client.get(path, params=query).raise_for_status().json()
        finally:
            process.terminate()
            process.wait(20)


def _ready(process: subprocess.Popen, client: httpx.Client) -> bool:
    if process.poll() is not None:
        raise StoreError("the service", rule=f"it ended with status {process.returncode}", fix="See `make serve`")
    try:
        return client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def _request(get: Callable[..., Any], user: str, version: int) -> int:
    """Request a list once the service has followed to `version`; prints it."""
    started = time.monotonic()
    _until(lambda: _version(get("/api/model")) == version, f"the service does not follow to version {version}")
    waited = time.monotonic() - started
    body = get("/api/recommendations", user_id=user, limit=5)
    items = ", ".join(str(item["item_id"]) for item in body["items"])
    report(f"   after {waited:.1f} s, version {body['model_version']} ({body['method_used']}) for user {user}: {items}")
    return int(body["model_version"])


def _version(body: dict[str, Any]) -> int:
    return int(body["version"])


def _until(holds: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise StoreError("the demo", rule=otherwise, fix="See the service's log with `make serve`")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(step))
