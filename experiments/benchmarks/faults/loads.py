"""Faults 16, 17 and 25: more load than can be served, callers that are slow or many, and memory over time."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence

import numpy as np
import psutil

from experiments.benchmarks import fault_injection
from experiments.benchmarks.environment import KEY, Running
from experiments.benchmarks.faults.fault import Outcome, Trials
from experiments.benchmarks.faults.traffic import Traffic, told

MOST_GROWTH = 0.03
PROMOTED = (*np.linspace(0.03, 0.3, 10).tolist(), 0.4, 0.6, 0.8)
"""Shares of the time after which a version is promoted; memory is looked at from the last three on."""
SLOW_HEADERS, IDLE, STORM = 50, 500, 300


def overload(trials: Trials) -> Outcome:
    """16: requests come in at three times the rate that can be served."""
    rows = list(fault_injection.overload(trials.environment, trials.versions[0], trials.of(30, 3)))
    *answers, recovery = rows
    problems = tuple(f"{row.name.strip()}: {row.value:g}" for row in answers if not row.reached)
    told_recovery = f"back to normal after {recovery.value:.1f} s"
    return Outcome(f"{rows[0].note}; {told_recovery}", problems, late=() if recovery.reached else (told_recovery,))


def slow_callers(trials: Trials) -> Outcome:
    """17: headers that drip, bodies that never end, idle connections, and many connections at once."""
    name, problems = "slow-callers", []
    with (
        contextlib.ExitStack() as stack,
        trials.service(name, header_timeout_seconds=2, body_timeout_seconds=2) as service,
    ):
        dripping = [stack.enter_context(_connection(service)) for _ in range(SLOW_HEADERS)]
        for one in dripping:
            one.sendall(b"GET /api/recommendations?user_id=1 HTTP/1.1\r\nX-Slow: ")
        bodies = [stack.enter_context(_connection(service)) for _ in range(SLOW_HEADERS)]
        for one in bodies:
            one.sendall(_post(1000) + b'{"events": [')
        _ = [stack.enter_context(_connection(service)) for _ in range(trials.of(IDLE, 100))]
        with Traffic(trials, service) as traffic:
            for _ in range(trials.of(10, 2)):
                storm = [_connection(service) for _ in range(STORM)]
                time.sleep(0.3)
                for one in storm:
                    one.close()
            time.sleep(2.5)
        for kind, connections, status in (("headers", dripping, b" 408 "), ("bodies", bodies, b" 408 ")):
            answered = sum(status in _received(one) for one in connections)
            if answered < len(connections):
                problems.append(f"{len(connections) - answered} slow {kind} were not ended with 408")
    if traffic.failed_reads:
        problems.append(f"{traffic.failed_reads} lists failed")
    tried = f"{SLOW_HEADERS} slow headers and bodies, storms of {STORM} connections; lists {told(traffic.reads)}"
    return Outcome(
        f"{tried}, slowest {traffic.slowest * 1000:.0f} ms", tuple(problems), traffic.lost(trials.database(name))
    )


def over_time(trials: Trials) -> Outcome:
    """25: lists, events and promotions for 5 minutes (seconds in the short form).

    Memory rises until some versions were served one after the other, and histories and lists are cached; then it stays.
    So promotions follow each other quickly at first, and what counts are the least sizes between two later ones, while
    one version alone is in memory.
    """
    seconds, name, problems = trials.of(300, 12), "over-time", []
    moments, sizes, descriptors = [], [], []
    due = [seconds * share for share in PROMOTED]
    with trials.service(name) as service, Traffic(trials, service) as traffic:
        process = psutil.Process(service.process.pid)
        began, moves = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            if moves < len(due) and passed > due[moves]:
                moves += 1
                trials.environment.promote(trials.versions[moves % 2])
            moments.append(passed / seconds)
            sizes.append(process.memory_info().rss / 2**20)
            descriptors.append(process.num_fds())
            time.sleep(min(1.0, seconds / 60))
    first, *_, last = [_least(sizes, moments, since) for since in PROMOTED[-3:]]
    if not trials.brief and last > first * (1 + MOST_GROWTH):
        problems.append(f"memory grows from {first:.0f} to {last:.0f} MB")
    grown = max(descriptors[len(descriptors) // 2 :]) - max(descriptors[: len(descriptors) // 2])
    if grown > 5:
        problems.append(f"{grown} descriptors more")
    if traffic.failed_reads:
        problems.append(f"{traffic.failed_reads} lists failed")
    growth = f"{sizes[0]:.0f} MB at the start, then {first:.0f} to {last:.0f} MB"
    tried = f"{seconds} s, {moves} promotions; {growth}; lists {told(traffic.reads)}"
    return Outcome(tried, tuple(problems), traffic.lost(trials.database(name)))


def _least(sizes: Sequence[float], moments: Sequence[float], since: float) -> float:
    """The least size in the fifth of the time after `since`."""
    return min(size for size, moment in zip(sizes, moments, strict=True) if since <= moment < since + 0.2)


def _connection(service: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=10)


def _post(length: int) -> bytes:
    return (
        "POST /api/interactions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"X-API-Key: {KEY}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def _received(connection: socket.socket) -> bytes:
    connection.settimeout(5)
    try:
        return connection.recv(4096)
    except OSError:
        return b""
