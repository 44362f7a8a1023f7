"""Ingest: how many events a second the service stores over HTTP, in batches and one by one.

A service of its own on SQLite, without a registry; several connections post as fast as they are answered. What is
counted was acknowledged, so it was on disk. Goal: at least 5,000 events a second in batches of 500. CPU time is that of
the service, which depends less on other work on the machine.

    python -m experiments.benchmarks --only ingest
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.benchmarks.environment import Running, start_service
from experiments.benchmarks.report import Measurement, at_least
from serving.store.admin import backup
from serving.store.db.connection import parse_url

LOADS = ((500, 4), (100, 4), (1, 32))
"""Events of a request, and connections."""
GOAL = {500: at_least(5000.0)}


@dataclass(frozen=True)
class Ingested:
    """Events that were acknowledged in `seconds`, and what that took."""

    batch: int
    connections: int
    seconds: float
    events: int
    events_a_second: float
    cpu_microseconds_an_event: float
    p50_ms: float
    p99_ms: float
    refused: int


def ingest(folder: Path, seconds: float) -> Iterator[Measurement]:
    """Each of `LOADS` for `seconds`, against a service with its database in `folder`."""
    with start_service(folder, "ingest", follow_registry="false", fallback_refresh_seconds=3600) as service:
        for batch, connections in LOADS:
            found = post_events(service, batch=batch, connections=connections, seconds=seconds)
            note = f"{connections} connections; p50 {found.p50_ms:.1f}, p99 {found.p99_ms:.1f} ms"
            yield Measurement(
                f"events a second, {batch} a request, on disk", found.events_a_second, GOAL.get(batch), "", note
            )
            yield Measurement("  CPU of the service an event", found.cpu_microseconds_an_event, unit="us")
            yield Measurement("  requests refused", found.refused)
    backup.verify(parse_url(f"sqlite:///{folder}/ingest.db"))


def post_events(service: Running, *, batch: int, connections: int, seconds: float, seed: int = 0) -> Ingested:
    """Post requests of `batch` events over `connections` connections for `seconds`, made from `seed`."""
    bodies = [_body(np.random.default_rng(seed + i), batch) for i in range(8)]
    latencies: list[float] = []
    refused = [0]
    stop = time.monotonic() + seconds

    def post(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        sent = first
        while time.monotonic() < stop:
            began = time.perf_counter()
            connection.request("POST", "/api/interactions", bodies[sent % 8], {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            if response.status == 201:
                latencies.append(time.perf_counter() - began)
            else:
                refused[0] += 1
            sent += 1

    used = service.cpu_seconds()
    began = time.perf_counter()
    threads = [threading.Thread(target=post, args=(i,)) for i in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    events = len(latencies) * batch
    p50, p99 = (float(np.percentile(latencies or [0.0], q)) * 1000 for q in (50, 99))
    return Ingested(
        batch=batch,
        connections=connections,
        seconds=round(took, 2),
        events=events,
        events_a_second=round(events / took, 1),
        cpu_microseconds_an_event=round((service.cpu_seconds() - used) / max(events, 1) * 1e6, 1),
        p50_ms=round(p50, 2),
        p99_ms=round(p99, 2),
        refused=refused[0],
    )


def _body(rng: np.random.Generator, batch: int) -> bytes:
    kinds = ("view", "view", "view", "click", "click", "like", "save", "share")
    events = [
        {
            "user_id": f"u{rng.integers(6040)}",
            "item_id": f"i{min(int(rng.pareto(1.0) * 20), 3700)}",
            "interaction_type": kinds[int(rng.integers(len(kinds)))],
            "value": round(float(rng.random()) * 60, 1),
            "context": {"page": "home"},
        }
        for _ in range(batch)
    ]
    return json.dumps({"events": events} if batch > 1 else events[0]).encode()
