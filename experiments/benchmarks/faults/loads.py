"""Faults 16, 17 and 25: more load than can be served, callers that are slow or many, and an hour of it."""

from __future__ import annotations

import contextlib
import socket
import time

import numpy as np
import psutil

from experiments.benchmarks import fault_injection
from experiments.benchmarks.environment import KEY, Running
from experiments.benchmarks.faults.fault import Outcome, Trials
from experiments.benchmarks.faults.traffic import Traffic, told

SLOPE_MB_AN_HOUR = 20.0
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


def an_hour(trials: Trials) -> Outcome:
    """25: lists, events and promotions for an hour; 5 minutes or, in the tests, seconds in the short form."""
    seconds, name, problems = trials.of(300, 12), "an-hour", []
    moments, sizes, descriptors = [], [], []
    with trials.service(name) as service, Traffic(trials, service) as traffic:
        process = psutil.Process(service.process.pid)
        began, moves = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            if passed > (moves + 1) * seconds / 6:
                moves += 1
                trials.environment.promote(trials.versions[moves % 2])
            moments.append(passed)
            sizes.append(process.memory_info().rss / 2**20)
            descriptors.append(process.num_fds())
            time.sleep(min(1.0, seconds / 60))
    late = [place for place, moment in enumerate(moments) if moment > seconds / 2]  # both versions served by then
    slope = float(np.polyfit(np.array(moments)[late], np.array(sizes)[late], 1)[0]) * 3600
    if not trials.brief and slope > SLOPE_MB_AN_HOUR:
        problems.append(f"memory grows by {slope:.0f} MB an hour")
    grown = max(descriptors[len(descriptors) // 2 :]) - max(descriptors[: len(descriptors) // 2])
    if grown > 5:
        problems.append(f"{grown} descriptors more")
    if traffic.failed_reads:
        problems.append(f"{traffic.failed_reads} lists failed")
    slope_told = f"{sizes[0]:.0f} to {sizes[-1]:.0f} MB, slope {slope:+.0f} MB/h" if not trials.brief else "no slope"
    tried = f"{seconds} s, {moves} promotions; {slope_told}; lists {told(traffic.reads)}"
    return Outcome(tried, tuple(problems), traffic.lost(trials.database(name)))


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
