"""Latency of each read endpoint at 60 % of its own saturation, ALS, the result cache off: p99 at most 10 ms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from experiments.benchmarks.environment import KEY, BenchmarkEnvironment
from experiments.benchmarks.load_generator import get, post
from experiments.benchmarks.performance import SHARE_OF_SATURATION, add_clicks
from experiments.benchmarks.report import Measurement, at_most

REQUESTS = 2_000
ROUNDS = 3
CANDIDATES, SESSION_ITEMS, BATCH_USERS = 100, 10, 10
HEADERS = {"X-API-Key": KEY}


def endpoints(environment: BenchmarkEnvironment, version: int, seconds: float) -> Iterator[Measurement]:
    """Requests a second at saturation and p99 at 60 % of it, each endpoint for `seconds`; the median of the rounds."""
    with environment.service("endpoints", cache_size=0) as service:
        service.serves(version)
        add_clicks(environment, service)
        for name, requests in requests_of(environment).items():
            environment.ask(service, seconds=0.5, requests=requests)
            calm, full, cpu = [], [], 0.0
            for _ in range(ROUNDS):
                share = seconds / (2 * ROUNDS)
                before = service.cpu_seconds()
                full.append(environment.ask(service, seconds=share, requests=requests))
                cpu += service.cpu_seconds() - before
                rate = full[-1].a_second * SHARE_OF_SATURATION
                calm.append(environment.ask(service, seconds=share, requests=requests, rate=rate))
            rates = sorted(one.a_second for one in full)
            quiet = sorted(calm, key=lambda one: one.p99_ms)[ROUNDS // 2]
            note = f"p50 {quiet.p50_ms:.1f}; worst of {ROUNDS} rounds {max(one.p99_ms for one in calm):.1f}"
            yield Measurement(f"{name}, requests/s", rates[ROUNDS // 2])
            asked = max(1, sum(one.asked for one in full))
            yield Measurement("  processor time a request", cpu / asked * 1e6, unit="us")
            yield Measurement("  p99 at 60 % of saturation", quiet.p99_ms, at_most(10.0), unit="ms", note=note)
            yield Measurement("  requests that failed", sum(one.failed for one in (*full, *calm)), at_most(0))


def requests_of(environment: BenchmarkEnvironment) -> Mapping[str, list[str]]:
    """Requests of each endpoint, by its name: random users and items."""
    rng = np.random.default_rng(3)
    users = rng.choice(environment.users, REQUESTS).tolist()
    items = environment.data.split.train.items.ids.astype(str)

    def some(number: int) -> list[str]:
        return rng.choice(items, number, replace=False).tolist()

    def posts(path: str, bodies: list[object]) -> list[str]:
        return [post(path, body, HEADERS) for body in bodies]

    session = [{"items": [{"item_id": one} for one in some(SESSION_ITEMS)]} for _ in users]
    batch = [{"user_ids": rng.choice(environment.users, BATCH_USERS, replace=False).tolist()} for _ in users]
    return {
        "GET /api/recommendations": environment.lists(number=REQUESTS),
        "GET /api/recommendations, pages": environment.lists(query="limit=10&cursor=*", number=REQUESTS),
        "GET /api/popular": [get("/api/popular?window=week", HEADERS)],
        "GET /api/trending": [get("/api/trending?window=day", HEADERS)],
        "GET /api/latest": [get("/api/latest", HEADERS)],
        f"POST /api/recommendations/session, {SESSION_ITEMS} items": posts("/api/recommendations/session", [*session]),
        f"POST /api/rank, {CANDIDATES} items": posts(
            "/api/rank", [{"user_id": user, "items": some(CANDIDATES)} for user in users]
        ),
        f"POST /api/recommendations/batch, {BATCH_USERS} users": posts("/api/recommendations/batch", [*batch]),
        "GET /api/items/{item_id}/similar": [get(f"/api/items/{one}/similar", HEADERS) for one in items.tolist()],
        "GET /api/items/{item_id}/recommended-users": [
            get(f"/api/items/{one}/recommended-users", HEADERS) for one in some(500)
        ],
        "GET /api/categories": [get("/api/categories", HEADERS)],
        "GET /api/users/{user_id}/stats": [get(f"/api/users/{user}/stats", HEADERS) for user in users],
    }
