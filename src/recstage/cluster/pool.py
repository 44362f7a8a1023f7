"""Calls of one function on the cores of a cluster, with reports from within them, and tried again when lost.

What all calls share lies in Ray's object store once a node; nothing needs a folder that all nodes see. A call whose
worker or node is lost is made again by Ray. Every worker compares its code with the caller's: another version is
refused, whatever it would compute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from recstage.cluster.connection import needs_ray
from recstage.cluster.failures import answer, is_loss, told
from recstage.cluster.nodes import actor_here, cores
from recstage.cluster.workers import code_digest, other_code
from recstage.errors import ExternalToolError, RecstageError

RETRIES = 3
WAIT_SECONDS = 0.2

Report = Callable[[int, Mapping[str, float]], None]
Function = Callable[[Any, Any, Report], Any]
"""(what all calls share, the argument of this one, report) -> result."""

Each = Callable[[Callable[[Any, Any], Any], Any, Iterable[Any]], Iterator[Any]]
"""(function, what its calls share, the other arguments) -> the results, in that order."""


class Stopped(Exception):
    """Raised through `report` in a call that was told to stop."""


@dataclass(frozen=True)
class Reported:
    """A step that the call `key` has reported."""

    key: int
    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Ended:
    """What the call `key` came to: a result, a stop that it was told, or an error."""

    key: int
    result: Any = None
    stopped: bool = False
    error: RecstageError | None = None


class Pool:
    """Calls of `function`, one a core; `reports`: whether calls report, which takes a process of its own.

    To be used within a `session`, and closed.
    """

    def __init__(self, function: Function, shared: Any, *, reports: bool = False) -> None:
        self._ray = needs_ray()
        self._function = function
        self._shared = self._ray.put(shared)
        self._call = self._ray.remote(num_cpus=1, max_retries=RETRIES)(_call)
        self._mailbox = actor_here(_Mailbox) if reports else None
        self._running: dict[Any, int] = {}

    @property
    def cores(self) -> int:
        """Cores of the nodes that are there now, one at least."""
        return cores()

    def __len__(self) -> int:
        """Calls that have not ended."""
        return len(self._running)

    def start(self, key: int, argument: Any) -> None:
        """Begin a call as soon as a core is free."""
        reference = self._call.remote(self._function, [self._shared], argument, key, self._mailbox, code_digest())
        self._running[reference] = key

    def stop(self, key: int) -> None:
        """Tell a call to end at its next report."""
        if self._mailbox is not None:
            self._mailbox.stop.remote(key)

    def wait(self) -> list[Reported | Ended]:
        """What was reported and what has ended since, waiting for it for a moment: reports come first."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=WAIT_SECONDS)
        ended = [self._end(reference) for reference in ready]
        return [*self._reports(), *ended]

    def close(self) -> None:
        """Give up what still runs."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._mailbox is not None:
            self._ray.kill(self._mailbox)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def _reports(self) -> list[Reported]:
        if self._mailbox is None:
            return []
        return [Reported(*one) for one in answer(self._mailbox.taken.remote())]

    def _end(self, reference: Any) -> Ended:
        key = self._running.pop(reference)
        try:
            ended: Ended = self._ray.get(reference)
        except Exception as error:
            if is_loss(error):
                raise ExternalToolError(
                    f"call {key} on the Ray cluster",
                    rule=f"its worker was lost {RETRIES + 1} times",
                    fix="See what ends the workers in the logs of the nodes; the same command resumes",
                ) from error
            line = told(error)
            if line is None:
                raise
            raise line from error
        return ended


def here(function: Callable[[Any, Any], Any], shared: Any, arguments: Iterable[Any]) -> Iterator[Any]:
    """`Each`, one call after the other in this process."""
    return (function(shared, one) for one in arguments)


def in_order(function: Function, shared: Any, arguments: Iterable[Any]) -> Iterator[Any]:
    """The results of `function` for some arguments, in their order; a few more calls than cores are under way."""
    waiting = enumerate(arguments)
    done: dict[int, Any] = {}
    with Pool(function, shared) as pool:
        following, more = 0, True
        while more or len(pool) or done:
            while more and len(pool) + len(done) < 2 * pool.cores + 1:
                one = next(waiting, None)
                if one is None:
                    more = False
                else:
                    pool.start(*one)
            for event in pool.wait() if len(pool) else ():
                if isinstance(event, Ended):
                    if event.error is not None:
                        raise event.error
                    done[event.key] = event.result
            while following in done:
                yield done.pop(following)
                following += 1


# -- on a node --------------------------------------------------------------------------------------------------------

_shared: dict[Any, Any] = {}
"""What this worker has unpacked: the last object alone."""


def _call(function: Function, shared: list[Any], argument: Any, key: int, mailbox: Any, digest: str) -> Ended:
    ray = needs_ray()
    other = other_code(digest)
    if other is not None:
        return Ended(key, error=other)

    def report(step: int, metrics: Mapping[str, float]) -> None:
        if mailbox is not None and ray.get(mailbox.report.remote(key, step, dict(metrics))):
            raise Stopped

    if shared[0] not in _shared:
        _shared.clear()
        _shared[shared[0]] = ray.get(shared[0])
    try:
        return Ended(key, function(_shared[shared[0]], argument, report))
    except Stopped:
        return Ended(key, stopped=True)
    except RecstageError as error:
        return Ended(key, error=error)


class _Mailbox:
    """Reports on their way to the caller, and which calls are to stop."""

    def __init__(self) -> None:
        self._reports: list[tuple[int, int, dict[str, float]]] = []
        self._stopped: set[int] = set()

    def report(self, key: int, step: int, metrics: dict[str, float]) -> bool:
        """Whether the call is to stop."""
        self._reports.append((key, step, metrics))
        return key in self._stopped

    def stop(self, key: int) -> None:
        self._stopped.add(key)

    def taken(self) -> list[tuple[int, int, dict[str, float]]]:
        found, self._reports = self._reports, []
        return found
