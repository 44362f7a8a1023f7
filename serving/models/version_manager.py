"""Follows Production: loads, verifies, warms and swaps in the version that is staged, and keeps the last good one.

One thread looks at the pointer a few times a second. A new version is made ready beside the old one, then one attribute
is set; requests under way keep their reference to the old one, which is freed with the last of them. A version that
cannot be loaded is remembered and tried again, ever more rarely; what answered before goes on answering.
"""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from recstage.errors import BundleError
from serving.models.loaded_model import LoadedModel
from serving.models.repository import PollResult, ProductionVersion
from serving.monitoring.metrics import Metrics

log = logging.getLogger("serving.models.version_manager")
LOOK_SECONDS = 0.1
FIRST_RETRY_SECONDS = 1.0
SHORT_TURN_SECONDS = 0.0005


class ProductionPointer(Protocol):
    """Tells what is staged Production; `serving.models.repository.Depot` is the one that follows the registry. Called
    several times a second; cheap, and silent while the registry is away: it then goes on saying what it said last."""

    def production(self) -> ProductionVersion | None:
        """What is staged and ready on disk; None where nothing is or was."""
        ...

    def good(self) -> ProductionVersion | None:
        """What last answered well, for a start with a broken version in Production."""
        ...

    def mark_good(self, staged: ProductionVersion) -> None: ...

    def drop(self, version: str) -> None:
        """The bundle is broken: fetch it again."""
        ...

    def last_poll(self) -> PollResult | None:
        """The last look at the registry; None before the first."""
        ...

    def request_poll(self) -> None: ...

    def poll_requested_at(self) -> int:
        """Grows with each `request_poll` of any process."""
        ...


@dataclass(frozen=True)
class Failure:
    """A version that could not be put in place."""

    version: str
    reason: str
    tries: int
    again_at: float
    """On the monotonic clock."""


class VersionManager:
    """Keeps `served` (None: nothing yet) at the version in Production."""

    def __init__(
        self,
        name: str,
        pointer: ProductionPointer,
        metrics: Metrics,
        *,
        retry_seconds: float = 60.0,
        warm: Callable[[LoadedModel], LoadedModel] = lambda served: served,
        before_withdrawal: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.served: LoadedModel | None = None
        self.withdrawn: LoadedModel | None = None
        """What may still answer of a version that was withdrawn, where there is nothing else: popularity."""
        self.failure: Failure | None = None
        self.swapping = False
        """Whether a version is being made ready at this moment."""
        self._pointer, self._metrics, self._warm = pointer, metrics, warm
        self._retry_seconds, self._before_withdrawal = retry_seconds, before_withdrawal
        self._asked_at = pointer.poll_requested_at()
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Put in place what is on disk, if anything is, then follow in the background."""
        self.step()
        self._thread = threading.Thread(target=self._follow, name=f"follow-{self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._changed.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def reload(self) -> None:
        """Look at the registry at once, in every process, and try again what failed."""
        self._pointer.request_poll()

    def last_poll(self) -> PollResult | None:
        return self._pointer.last_poll()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        while not self._changed.wait(LOOK_SECONDS):
            try:
                self.step()
            except Exception:  # the thread must outlive whatever a disk or a model comes up with
                log.exception("following failed", extra={"event": "follow-failed", "model": self.name})

    def step(self) -> None:
        """One look at the pointer, and a swap where it moved."""
        asked = self._pointer.poll_requested_at()
        if asked != self._asked_at:
            self._asked_at, self.failure = asked, None
        staged = self._pointer.production()
        if staged is not None:
            self._follow_to(staged)
        if staged is None or self.served is None:
            good = self._pointer.good()
            if good is None and staged is None:
                self._withdraw()
            elif good is not None and self.served is None and (staged is None or good.version != staged.version):
                self._follow_to(good, note=False)
        self._tell_age()

    def _follow_to(self, staged: ProductionVersion, *, note: bool = True) -> None:
        current = self.served
        if current is not None and current.version == staged.version:
            if current.source is not None and current.source.staged != staged:
                self.served = current.restaged(staged)
            if note:
                self.failure = None
            return
        failed = self.failure if note else None
        if failed is not None and failed.version == staged.version and time.monotonic() < failed.again_at:
            return
        began = time.perf_counter()
        try:
            with self._preparing(), _taking_short_turns():
                ready = self._warm(LoadedModel.load(staged, datetime.now(UTC)))
        except Exception as error:
            self._remember(staged, error, note=note)
            return
        self.served, self.withdrawn = ready, None
        if note:
            self.failure = None
        seconds = time.perf_counter() - began
        self._pointer.mark_good(staged)
        self._tell_swap(current, ready, seconds)
        del current  # with the last request that holds it, it is freed
        _give_memory_back()

    @contextmanager
    def _preparing(self) -> Iterator[None]:
        self.swapping = True
        try:
            yield
        finally:
            self.swapping = False

    def _withdraw(self) -> None:
        """Nothing is staged any more: whoever took it away wants this version not to answer."""
        served = self.served
        if served is None:
            return
        self._before_withdrawal()
        self.withdrawn, self.served, self.failure = served.popularity_alone(), None, None
        self._metrics.swaps.labels(self.name, "withdrawn").inc()
        self._metrics.model.labels(self.name, str(served.version), served.algorithm).set(0)
        log.warning("withdrawn", extra={"event": "withdrawn", "model": self.name, "version": served.version})

    def _remember(self, staged: ProductionVersion, error: Exception, *, note: bool) -> None:
        self._metrics.swaps.labels(self.name, "failed").inc()
        failed = self.failure
        tries = failed.tries + 1 if failed is not None and failed.version == staged.version else 1
        pause = min(FIRST_RETRY_SECONDS * 2 ** (tries - 1), self._retry_seconds)
        reason = str(error) if isinstance(error, BundleError) else f"{type(error).__name__}: {error}"
        if note:
            self.failure = Failure(staged.version, reason, tries, time.monotonic() + pause)
        if isinstance(error, BundleError):
            self._pointer.drop(staged.version)
        log.error(
            "a version cannot be served; the last good one goes on answering",
            extra={"event": "swap-failed", "model": self.name, "version": staged.version, "reason": reason},
        )

    def _tell_swap(self, old: LoadedModel | None, new: LoadedModel, seconds: float) -> None:
        metrics = self._metrics
        metrics.swaps.labels(self.name, "done").inc()
        metrics.swap_seconds.observe(seconds)
        metrics.swapped_at.labels(self.name).set(time.time())
        if old is not None:
            metrics.model.labels(self.name, str(old.version), old.algorithm).set(0)
        metrics.model.labels(self.name, str(new.version), new.algorithm).set(1)
        if new.source is not None:
            metrics.trained_until.labels(self.name).set(new.source.manifest.trained_until)
        log.info(
            "serving another version",
            extra={
                "event": "swapped",
                "model": self.name,
                "version": new.version,
                "previous": None if old is None else old.version,
                "algorithm": new.algorithm,
                "seconds": round(seconds, 3),
            },
        )

    def _tell_age(self) -> None:
        poll, served = self._pointer.last_poll(), self.served
        if poll is not None:
            self._metrics.registry_age.labels(self.name).set(time.time() - poll.at)
        if served is not None and served.source is not None:
            age = datetime.now(UTC) - served.source.manifest.created_at
            self._metrics.model_age.labels(self.name).set(age.total_seconds())


@contextmanager
def _taking_short_turns() -> Iterator[None]:
    """While this thread loads, the event loop must get the interpreter back soon. Only then: threads that change places
    so often cost the service a third of its throughput."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SHORT_TURN_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _give_memory_back() -> None:
    """Hand the pages of the old version to the system: many swaps must not grow the process. Nothing is collected: that
    would stop all requests for tens of milliseconds, and a version has no cycles."""
    if Path("/lib/x86_64-linux-gnu/libc.so.6").exists() or Path("/lib64/libc.so.6").exists():
        ctypes.CDLL("libc.so.6").malloc_trim(0)
