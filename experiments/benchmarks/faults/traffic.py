"""Readers and writers that go on while a fault is tried: which answers came, which acknowledged events were lost."""

from __future__ import annotations

import itertools
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from types import TracebackType

from experiments.benchmarks.environment import Running
from experiments.benchmarks.faults.fault import Trials

EVENTS_PER_REQUEST = 5
PAUSE_SECONDS = 0.01
_SERIAL = itertools.count()


class Traffic:
    """A reader and a writer, a thread each, while the body runs. Only an event that was answered with 201 counts."""

    def __init__(self, trials: Trials, service: Running, *, read: bool = True, write: bool = True) -> None:
        """Nothing is sent yet; `read`, `write`: what is sent."""
        self._service, self._users, self._items = service, trials.environment.users, trials.items
        self._read, self._write = read, write
        self._random = random.Random(f"{trials.seed}/{next(_SERIAL)}")
        self._prefix = f"{self._random.getrandbits(48):012x}"
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self.reads: Counter[int] = Counter()
        """Answers to readers by status; 0: no answer."""
        self.writes: Counter[int] = Counter()
        self.acknowledged: list[str] = []
        """Keys of the events that were answered with 201."""
        self.slowest = 0.0
        """Seconds of the slowest read."""

    def __enter__(self) -> Traffic:
        for wanted, work in ((self._read, self._reading), (self._write, self._writing)):
            if wanted:
                self._threads.append(threading.Thread(target=work, daemon=True))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=30)

    @property
    def failed_reads(self) -> int:
        return sum(number for status, number in self.reads.items() if status != 200)

    def reads_other_than(self, allowed: Iterable[int]) -> int:
        """Reads with another status."""
        good = set(allowed)
        return sum(number for status, number in self.reads.items() if status not in good)

    def lost(self, database: Path) -> int:
        """Acknowledged events that the database lacks."""
        with closing(sqlite3.connect(database)) as connection:
            rows = connection.execute(
                "SELECT idempotency_key FROM user_interactions WHERE idempotency_key LIKE ?", (f"{self._prefix}/%",)
            )
            return len(set(self.acknowledged) - {key for (key,) in rows})

    def _reading(self) -> None:
        draw = random.Random(f"{self._prefix}/reads")
        while not self._stopped.is_set():
            began = time.perf_counter()
            self.reads[self._service.status(f"/api/recommendations?user_id={draw.choice(self._users)}&limit=10")] += 1
            self.slowest = max(self.slowest, time.perf_counter() - began)
            self._stopped.wait(PAUSE_SECONDS)

    def _writing(self) -> None:
        draw = random.Random(f"{self._prefix}/writes")
        for number in itertools.count():
            if self._stopped.is_set():
                return
            keys = [f"{self._prefix}/{number}/{place}" for place in range(EVENTS_PER_REQUEST)]
            events = [
                {
                    "user_id": draw.choice(self._users),
                    "item_id": draw.choice(self._items),
                    "interaction_type": "view",
                    "idempotency_key": key,
                }
                for key in keys
            ]
            status, _ = self._service.call("POST", "/api/interactions", {"events": events})
            self.writes[status] += 1
            if status == 201:
                self.acknowledged += keys
            self._stopped.wait(PAUSE_SECONDS)


def told(counts: Counter[int]) -> str:
    """Numbers of answers by status."""
    return ", ".join(f"{status or 'none'} x {number}" for status, number in sorted(counts.items()))
