"""Follows Production: loads, verifies, warms and swaps in the version that is staged, and keeps the last good one.

One thread polls the pointer several times a second. A new version is loaded while the old one serves, then one
attribute is set; requests under way keep their reference to the old one, which is freed with the last of them. A
version that cannot be loaded is tried again with exponential backoff while the last good one serves.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Generic, Protocol

from typing_extensions import TypeVar

from recstage.errors import BundleError
from serving.errors import without_paths
from serving.models import memory
from serving.models.backoff import Backoff, Failure
from serving.models.loaded_model import LoadedModel
from serving.models.repository import PollResult, ProductionVersion
from serving.monitoring.metrics import Metrics

log = logging.getLogger("serving.models.version_manager")
POLL_SECONDS = 0.1
SHORT_SWITCH_SECONDS = 0.0005


class ProductionPointer(Protocol):
    """What is staged Production; `serving.models.repository.BundleRepository` is the one that follows the registry.

    Called several times a second, so it is cheap. While the registry is unavailable it keeps its last state.
    """

    def production(self) -> ProductionVersion | None:
        """The version that is staged and on disk; None where there is none."""
        ...

    def good(self) -> ProductionVersion | None:
        """The version that last served, for a start with a broken version in Production."""
        ...

    def mark_good(self, staged: ProductionVersion) -> None: ...

    def drop(self, version: str) -> None:
        """Remove a broken bundle, so that it is fetched again."""
        ...

    def last_poll(self) -> PollResult | None:
        """The last poll of the registry; None before the first."""
        ...

    def request_poll(self) -> None: ...

    def poll_requested_at(self) -> int:
        """A number that grows with each `request_poll` of any process."""
        ...


class Servable(Protocol):
    """What a version is once it is loaded: a recommender with its family, or the item classifier."""

    @property
    def version(self) -> str | None: ...

    @property
    def algorithm(self) -> str: ...

    @property
    def source(self) -> Any:
        """`staged`, and the `manifest` with `created_at` and `trained_until`; None where it is of no version."""
        ...

    def restaged(self, staged: ProductionVersion) -> Any:
        """The same version, promoted again."""
        ...

    def popularity_alone(self) -> Any:
        """What answers once no version is Production any more; None: nothing."""
        ...


Loaded = TypeVar("Loaded", bound=Servable, default=LoadedModel)


class VersionManager(Generic[Loaded]):
    """Keeps `served` (None: nothing yet) at the version in Production."""

    def __init__(
        self,
        name: str,
        pointer: ProductionPointer,
        metrics: Metrics,
        *,
        retry_seconds: float = 60.0,
        load: Callable[[ProductionVersion, datetime], Loaded] = LoadedModel.load,  # type: ignore[assignment]
        warm: Callable[[Loaded], Loaded] = lambda loaded: loaded,
        before_unset: Callable[[], None] = lambda: None,
        overdue_seconds: float | None = None,
    ) -> None:
        """Serve nothing yet.

        Args:
            name: the registered model, for messages and metrics.
            pointer: what is Production.
            metrics: swaps, ages and the version served.
            retry_seconds: the longest pause between two tries of a broken version.
            load: makes a version of a bundle; raises `BundleError`.
            warm: called with a loaded version before it serves; what it returns serves.
            before_unset: called before a version stops serving because nothing is Production any more.
            overdue_seconds: the age from which a poll of the registry is overdue; None: it is not followed.
        """
        self.name = name
        self.served: Loaded | None = None
        self.last_popularity: Loaded | None = None
        """The popularity of the version that was Production last, while none is: served where there is nothing else."""
        self.failure: Failure | None = None
        self.swapping = False
        """Whether a version is being loaded at this moment."""
        self._pointer, self._metrics, self._warm, self._load = pointer, metrics, warm, load
        self._backoff, self._before_unset = Backoff(longest=retry_seconds), before_unset
        self._poll_requested_at = pointer.poll_requested_at()
        self.not_writable: str | None = None
        """Why the folder of bundles could not be written last; None where it could."""
        self._overdue_seconds, self._started_at = overdue_seconds, time.time()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Load what is on disk, if anything is, then follow in the background."""
        self.step()
        self._thread = threading.Thread(target=self._follow, name=f"follow-{self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following; `served` stays."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def reload(self) -> None:
        """Poll the registry at once and try again what failed, in every process."""
        self._pointer.request_poll()

    def last_poll(self) -> PollResult | None:
        """What the last poll of the registry found; None before the first."""
        return self._pointer.last_poll()

    @property
    def awaits_first_poll(self) -> bool:
        """Whether the registry is followed, and was not read since the service started."""
        poll = self.last_poll()
        return self._overdue_seconds is not None and (poll is None or poll.at < self._started_at)

    def poll_overdue(self) -> str | None:
        """Since when the registry was not polled, where that is too long; None where polls go on."""
        poll, now = self.last_poll(), time.time()
        # a poll of an earlier run is old when the service starts
        age = now - max(self._started_at, 0.0 if poll is None else poll.at)
        if self._overdue_seconds is None or age <= self._overdue_seconds:
            return None
        if self.awaits_first_poll:
            return f"the registry was not polled in the {age:.0f} seconds since the service started"
        return f"the registry was last polled {age:.0f} seconds ago"

    @property
    def decided(self) -> bool:
        """Whether it is known what serves: a version, or why none does."""
        poll = self.last_poll()
        if self.served is not None or self.failure is not None:
            return True
        polled = poll is not None and poll.at >= self._started_at
        return polled and poll is not None and (poll.version is None or poll.problem is not None)

    def why_not_ready(self) -> str:
        """Why no version is served, and what to do about it."""
        failure, poll, overdue = self.failure, self.last_poll(), self.poll_overdue()
        if failure is not None:
            reason = f"Version {failure.version} of '{self.name}' cannot be served: {failure.reason}"
        elif overdue is not None:
            reason = f"No version of '{self.name}' is on disk, and {overdue}."
        elif poll is None:
            reason = f"The registry has not been read yet; '{self.name}' will be served as soon as it is."
        elif poll.problem is not None:
            which = f"version {poll.version} cannot" if poll.about == "version" else "none can"
            reason = f"No version of '{self.name}' is on disk, and {which} be fetched: {poll.problem}"
        elif poll.absent:
            reason = f"Nothing is registered as '{self.name}'; register a version and promote it."
        elif poll.version is None:
            reason = f"No version of '{self.name}' is staged Production; promote one (recstage promote)."
        else:
            reason = f"Version {poll.version} of '{self.name}' is being fetched."
        return without_paths(reason)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            try:
                self.step()
            except Exception:  # the thread must survive any error of a disk or a model
                log.exception("following failed", extra={"event": "follow-failed", "model": self.name})

    def step(self) -> None:
        """Poll the pointer once, and swap where it has moved."""
        requested_at = self._pointer.poll_requested_at()
        if requested_at != self._poll_requested_at:
            self._poll_requested_at = requested_at
            if self.failure is not None:  # tried at once; its reason stays until it loads or fails again
                self.failure = replace(self.failure, retry_at=0.0, tries=0)
        staged = self._pointer.production()
        if staged is not None:
            self._swap_to(staged)
        if staged is None or self.served is None:
            good = self._pointer.good()
            if good is None and staged is None:
                self._unset()
            elif good is not None and self.served is None and (staged is None or good.version != staged.version):
                self._swap_to(good, record=False)
        self._report_age()

    def _swap_to(self, staged: ProductionVersion, *, record: bool = True) -> None:
        current = self.served
        if current is not None and current.source is not None and current.source.staged.is_same(staged):
            if current.source.staged != staged:
                self.served = current.restaged(staged)
            if record:
                self.failure = None
            return
        failed = self.failure if record else None
        if failed is not None and failed.blocks(staged.version):
            return
        if not staged.folder.is_dir() and failed is not None and failed.version == staged.version:
            return  # dropped, and not fetched again yet: the reason why it was dropped stays
        started = time.perf_counter()
        try:
            with self._marked_as_swapping(), _short_thread_switches():
                loaded = self._warm(self._load(staged, datetime.now(UTC)))
        except Exception as error:
            self._fail(staged, error, record=record)
            return
        self.served, self.last_popularity = loaded, None
        if record:
            self.failure = None
        seconds = time.perf_counter() - started
        self._mark_good(staged)
        self._report_swap(current, loaded, seconds)
        del current  # it is freed with the last request that holds it
        memory.give_back_unused()

    def _mark_good(self, staged: ProductionVersion) -> None:
        try:
            self._pointer.mark_good(staged)
        except OSError as error:  # it serves; only a restart without the registry would not find it
            self.not_writable = error.strerror or type(error).__name__
        else:
            self.not_writable = None

    @contextmanager
    def _marked_as_swapping(self) -> Iterator[None]:
        self.swapping = True
        try:
            yield
        finally:
            self.swapping = False

    def _unset(self) -> None:
        """Stop serving: nothing is Production any more, which was a decision."""
        served = self.served
        if served is None:
            return
        self._before_unset()
        self.last_popularity, self.served, self.failure = served.popularity_alone(), None, None
        self._metrics.model_swaps.labels(self.name, "withdrawn").inc()
        self._metrics.model.labels(self.name, str(served.version), served.algorithm).set(0)
        log.warning("Production was unset", extra={"event": "withdrawn", "model": self.name, "version": served.version})

    def _fail(self, staged: ProductionVersion, error: Exception, *, record: bool) -> None:
        self._metrics.model_swaps.labels(self.name, "failed").inc()
        # what is given is a folder of this machine; the version is named beside the reason
        reason = f"{error.rule}. {error.fix}." if isinstance(error, BundleError) else f"{type(error).__name__}: {error}"
        if record:
            self.failure = self._backoff.after(self.failure, staged.version, reason)
        if isinstance(error, BundleError):
            self._pointer.drop(staged.version)
        log.error(
            "a version cannot be served; the last good one stays",
            extra={"event": "swap-failed", "model": self.name, "version": staged.version, "reason": reason},
        )

    def _report_swap(self, old: Loaded | None, new: Loaded, seconds: float) -> None:
        metrics = self._metrics
        metrics.model_swaps.labels(self.name, "done").inc()
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

    def _report_age(self) -> None:
        poll, served = self._pointer.last_poll(), self.served
        if poll is not None:
            self._metrics.registry_age.labels(self.name).set(time.time() - poll.at)
        if served is not None and served.source is not None:
            age = datetime.now(UTC) - served.source.manifest.created_at
            self._metrics.model_age.labels(self.name).set(age.total_seconds())


@contextmanager
def _short_thread_switches() -> Iterator[None]:
    """Let the event loop have the interpreter back soon while this thread loads.

    Only then: switching threads so often costs throughput (`python -m experiments.benchmarks --only promotions`).
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SHORT_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
