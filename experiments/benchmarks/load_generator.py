"""HTTP load generator of the benchmarks, a process of its own: sends the requests of a plan, prints a report as JSON.

    python -m experiments.benchmarks.load_generator PLAN.json

Closed loop (`rate` none): each connection sends its next request when it is answered. Open loop: requests are due at a
steady rate whether or not earlier ones are answered, and latency counts from when they were due, so that a stall of the
service is not hidden (coordinated omission).

Not an existing tool, because the benchmarks need both of this: an open loop that reports what could not be sent, and a
look at each body, to see that one model version answers the same request the same way and to follow version changes.
locust's users and wrk send the next request after the answer; oha and vegeta keep a rate but do not compare bodies
while they run.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import zlib
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

END = b"\r\n\r\n"
MAX_CONNECTIONS = 2000
PATIENCE_SECONDS = 30.0
GRACE_SECONDS = 1.0
TICK_SECONDS = 0.001
"""Between two checks of what is due: the least that the event loop can sleep. Less is rounded to nothing, and the load
generator would take a whole core from the service it measures."""


@dataclass(frozen=True)
class Plan:
    """A load.

    `requests`: whole HTTP requests, sent in turn, over and over; `rate`: requests a second of an open loop;
    `follow_versions`: compare the bodies of equal requests.
    """

    port: int
    seconds: float
    connections: int
    requests: list[str]
    rate: float | None = None
    follow_versions: bool = False


@dataclass
class Report:
    """The result of a plan.

    `statuses`: answers by status; 0: no answer. `unsent`: due, but not sent until the end, because all connections were
    waiting. `late_p99_ms`: from due to sent, the delay of the load generator itself. `versions`: model versions, one
    entry for each change, in order of arrival; `mixed`: answers of one version that differ for the same request.
    """

    seconds: float = 0.0
    asked: int = 0
    unsent: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    a_second: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    refused_p99_ms: float = 0.0
    late_p99_ms: float = 0.0
    mixed: int = 0
    versions: list[str] = field(default_factory=list)
    by_second: list[int] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Requests that were answered by anything but 200, or not sent."""
        return self.unsent + sum(number for status, number in self.statuses.items() if status != 200)


class LoadGenerator:
    """All connections of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.requests = [request.encode("latin-1") for request in plan.requests]
        self.sent = 0
        self.unsent = 0
        self.due: deque[float] = deque()
        self.idle: list[Connection] = []
        self.open = 0
        self.late: list[float] = []
        self.latencies: list[float] = []
        self.refusals: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.seconds: Counter[int] = Counter()
        self.answers: dict[tuple[int, bytes], int] = {}
        self.mixed = 0
        self.versions: list[str] = []
        self.until = 0.0
        self.began = 0.0

    async def run(self) -> Report:
        self.began = time.perf_counter()
        self.until = self.began + self.plan.seconds
        for _ in range(self.plan.connections):
            await self.connect()
        if self.plan.rate is None:
            while self.idle and time.perf_counter() < self.until:
                self.next_for(self.idle.pop())
        else:
            await self._keep_rate(self.plan.rate)
        await asyncio.sleep(max(0.0, self.until - time.perf_counter()))
        await self._end_of_load()
        patience = time.perf_counter() + PATIENCE_SECONDS
        while len(self.idle) < self.open and time.perf_counter() < patience:
            await asyncio.sleep(0.01)
        self.statuses[0] += max(0, self.open - len(self.idle))
        return self._report(time.perf_counter() - self.began)

    async def _end_of_load(self) -> None:
        """Give waiting requests a moment, then drop them, so that they cannot disturb what is measured next."""
        latest = time.perf_counter() + GRACE_SECONDS
        while self.due and time.perf_counter() < latest:
            await asyncio.sleep(0.01)
        self.unsent = len(self.due)
        self.due.clear()

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        self.open += 1
        try:
            await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.plan.port)
        except OSError:
            self.open -= 1
            self.statuses[0] += 1

    async def _keep_rate(self, rate: float) -> None:
        to_come = deque(due_times(self.began, self.plan.seconds, rate))
        while to_come:
            now = time.perf_counter()
            while to_come and to_come[0] <= now:
                self.due.append(to_come.popleft())
            while self.due and self.idle:
                self.idle.pop().ask(self.due.popleft())
            if self.due and self.open < MAX_CONNECTIONS:
                await asyncio.gather(*(self.connect() for _ in range(min(len(self.due), 32))))
            await asyncio.sleep(TICK_SECONDS)

    def next_for(self, connection: Connection) -> None:
        """Send the next request on a free connection."""
        now = time.perf_counter()
        if self.due:
            connection.ask(self.due.popleft())
        elif self.plan.rate is None and now < self.until:
            connection.ask(now)
        else:
            self.idle.append(connection)

    def answered(self, status: int, place: int, due: float, body: bytes) -> None:
        now = time.perf_counter()
        self.statuses[status] += 1
        if status != 200:
            self.refusals.append(now - due)
            return
        self.latencies.append(now - due)
        self.seconds[int(now - self.began)] += 1
        if self.plan.follow_versions:
            self._follow(place, body)

    def _follow(self, place: int, body: bytes) -> None:
        version = body.partition(b'"model_version":"')[2].partition(b'"')[0]
        if not self.versions or self.versions[-1] != version.decode():
            self.versions.append(version.decode())
        digest = zlib.crc32(body.partition(b',"degraded"')[0])
        if self.answers.setdefault((place, version), digest) != digest:
            self.mixed += 1

    def _report(self, seconds: float) -> Report:
        times = np.array(self.latencies or [0.0]) * 1000
        late = np.array(self.late or [0.0]) * 1000
        refusals = np.array(self.refusals or [0.0]) * 1000
        p50, p95, p99 = (float(np.percentile(times, q)) for q in (50, 95, 99))
        lasted = min(seconds, self.plan.seconds)
        return Report(
            seconds=seconds,
            asked=sum(self.statuses.values()),
            unsent=self.unsent,
            statuses={status: number for status, number in sorted(self.statuses.items()) if number},
            a_second=len(self.latencies) / lasted,
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            refused_p99_ms=float(np.percentile(refusals, 99)),
            late_p99_ms=float(np.percentile(late, 99)),
            mixed=self.mixed,
            versions=self.versions,
            by_second=[self.seconds[second] for second in range(int(self.plan.seconds))],
        )


def due_times(began: float, seconds: float, rate: float) -> list[float]:
    """When each request of an open loop is due; multiplied, because added steps drift."""
    return [began + number / rate for number in range(round(seconds * rate))]


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self, load: LoadGenerator) -> None:
        self._load = load
        self._got = b""
        self._asking = False
        self._due, self._place = 0.0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        if self._load.due:
            self.ask(self._load.due.popleft())
        else:
            self._load.idle.append(self)

    def ask(self, due: float) -> None:
        load = self._load
        if self._transport.is_closing():  # the server closed an idle connection: another one sends it
            load.due.appendleft(due)
            return
        self._due, self._asking = due, True
        load.late.append(time.perf_counter() - due)
        self._place = load.sent % len(load.requests)
        load.sent += 1
        self._transport.write(load.requests[self._place])

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, body = self._got.partition(END)
        if not end:
            return
        lowered = head.lower()
        length = int(lowered.partition(b"content-length:")[2].partition(b"\r")[0])
        if len(body) < length:
            return
        self._got, self._asking = b"", False
        self._load.answered(int(head[9:12]), self._place, self._due, body)
        self._load.next_for(self)

    def connection_lost(self, error: Exception | None) -> None:
        load = self._load
        load.open -= 1
        if self in load.idle:
            load.idle.remove(self)
        if self._asking:
            load.statuses[0] += 1
        if time.perf_counter() < load.until and load.plan.rate is None:
            asyncio.get_running_loop().create_task(self._again())

    async def _again(self) -> None:
        await asyncio.sleep(0.05)
        await self._load.connect()
        while self._load.idle and time.perf_counter() < self._load.until:
            self._load.next_for(self._load.idle.pop())


def get(path: str, headers: dict[str, str] | None = None) -> str:
    """The text of a GET request."""
    named = [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *named]) + "\r\n\r\n"


def post(path: str, body: object, headers: dict[str, str] | None = None) -> str:
    """The text of a POST request with a JSON body."""
    content = json.dumps(body)
    named = [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *named]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", content])


def main(path: str) -> None:
    """Run the plan of a file, and print the report as JSON."""
    import uvloop

    plan = Plan(**json.loads(Path(path).read_text()))
    print(json.dumps(asdict(uvloop.run(LoadGenerator(plan).run()))))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
