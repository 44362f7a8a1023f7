"""One call on several nodes at the same time, whose members talk to each other, for what no node can do alone.

Where a member is lost, the call is made again on the nodes that are left, with the files that it had kept. Files travel
by Ray, to a folder of the caller: nodes need none in common.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recstage.cluster.connection import needs_ray
from recstage.cluster.failures import answer, is_loss, told
from recstage.cluster.nodes import Place, actor_here, places
from recstage.cluster.workers import code_digest, other_code
from recstage.errors import ExternalToolError, RecstageError

RETRIES = 3
"""Times that a member may be lost before anything more was kept."""
WAIT_SECONDS = 0.2
GRACE_SECONDS = 10.0
"""How long others may take to say what is wrong with them, when one has failed."""

log = logging.getLogger(__name__)


class MemberLost(Exception):
    """Another member of the call is gone: raised where a member notices."""


@dataclass(frozen=True, eq=False)
class Member:
    """One of the processes of a call. `host`: its node's address; `cores`: those that are its own; `gpu`: whether a GPU
    is; `folder`: this process's alone, with what earlier members have kept."""

    rank: int
    size: int
    cores: int
    gpu: bool
    host: str
    folder: Path
    desk: Any

    def announce(self, address: str) -> None:
        """Tell the others where this member listens."""
        needs_ray().get(self.desk.announce.remote(address))

    def announced(self) -> str:
        """Where the first member listens, once it does."""
        while not (address := needs_ray().get(self.desk.announced.remote())):
            time.sleep(WAIT_SECONDS)
        return str(address)

    def keep(self, file: Path) -> None:
        """Bring a file to the caller's folder."""
        if self.rank == 0:
            needs_ray().get(self.desk.add.remote(_File(file.name, file.read_bytes())))

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell the caller of a step that has ended; what was kept before arrives before."""
        if self.rank == 0:
            needs_ray().get(self.desk.add.remote(_Step(step, dict(metrics))))


@dataclass(frozen=True)
class _File:
    name: str
    content: bytes


@dataclass(frozen=True)
class _Step:
    number: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class _Outcome:
    result: Any = None
    error: Exception | None = None
    lost: bool = False

    @property
    def failed(self) -> bool:
        return self.lost or self.error is not None


Function = Callable[[Any, Member], Any]
Report = Callable[[int, Mapping[str, float]], None]


def together(
    function: Function,
    shared: Any,
    folder: Path,
    files: Sequence[str],
    report: Report,
    on: Sequence[Place] | None = None,
) -> Any:
    """What `function(shared, member)` returns in the first of the members, one a place, all of them at the same time.

    `folder` holds what members keep; those of its files that match a pattern of `files` are given to them at the start.
    `on` are the places to begin with. To be used within a `session`. What `report` raises ends the members. Raises what
    a member raises, `OutOfMemory`, or `ExternalToolError` where members are lost again and again.
    """
    given, lost = needs_ray().put(shared), 0
    while True:
        attempt = _Attempt(function, given, folder, files, report, on or _free_places())
        try:
            return attempt.result()
        except MemberLost as error:
            lost = 1 if attempt.kept else lost + 1
            if lost > RETRIES:
                raise ExternalToolError(
                    "work on several nodes of the Ray cluster",
                    rule=f"one of them was lost {lost} times without progress",
                    fix="See what ends the workers in the logs of the nodes; the same command resumes",
                ) from error
            log.warning("a process on the cluster was lost: the others go on from what was kept last")
            on = None
        finally:
            attempt.close()


def _free_places() -> Sequence[Place]:
    found = places()
    if not found:
        raise ExternalToolError(
            "the Ray cluster",
            rule="no node that is left has a free core",
            fix="Start nodes (ray start --address); the same command resumes",
        )
    return found


class _Attempt:
    """Members under way."""

    def __init__(
        self, function: Function, given: Any, folder: Path, files: Sequence[str], report: Report, on: Sequence[Place]
    ) -> None:
        self._ray, self._folder, self._report, self.kept = needs_ray(), folder, report, False
        self._desk = actor_here(_Desk)
        contents = {one.name: one.read_bytes() for pattern in files for one in folder.glob(pattern)}
        found = self._ray.put(contents)
        self._members: dict[Any, int] = {}
        for rank, place in enumerate(on):
            call = place.remote(_as_member, max_retries=0, max_calls=1)
            reference = call.remote(function, [given, found], rank, len(on), place, self._desk, code_digest())
            self._members[reference] = rank

    def result(self) -> Any:
        """Wait for all of them. Raises `MemberLost`, or what else a member has failed by."""
        running, outcomes = list(self._members), dict[int, _Outcome]()
        while running and not any(one.failed for one in outcomes.values()):
            ready, running = self._ray.wait(running, num_returns=1, timeout=WAIT_SECONDS)
            self._take()
            outcomes |= {self._members[one]: self._outcome(one) for one in ready}
        if running:  # the cause may be what another one says, or that its node is gone
            ready, running = self._ray.wait(running, num_returns=len(running), timeout=GRACE_SECONDS)
            outcomes |= {self._members[one]: self._outcome(one) for one in ready}
        self._take()
        errors = [one.error for one in outcomes.values() if one.error is not None]
        if errors:
            raise min(errors, key=lambda error: not isinstance(error, RecstageError))
        if any(one.lost for one in outcomes.values()):
            raise MemberLost
        return outcomes[0].result

    def close(self) -> None:
        """End those that still run, and wait for it."""
        for reference in self._members:
            self._ray.cancel(reference, force=True)
        self._ray.wait(list(self._members), num_returns=len(self._members), timeout=GRACE_SECONDS)
        self._ray.kill(self._desk)

    def _take(self) -> None:
        for one in answer(self._desk.taken.remote()):
            if isinstance(one, _Step):
                self._report(one.number, one.metrics)
                continue
            self.kept = True
            self._folder.mkdir(parents=True, exist_ok=True)
            partial = self._folder / f"{one.name}.partial"
            partial.touch(mode=0o600)
            partial.write_bytes(one.content)
            partial.replace(self._folder / one.name)

    def _outcome(self, reference: Any) -> _Outcome:
        try:
            found: _Outcome = self._ray.get(reference)
        except Exception as error:
            return _Outcome(lost=True) if is_loss(error) else _Outcome(error=told(error) or error)
        return found


# -- on a node --------------------------------------------------------------------------------------------------------


def _as_member(
    function: Function, given: list[Any], rank: int, size: int, place: Place, desk: Any, digest: str
) -> _Outcome:
    ray = needs_ray()
    other = other_code(digest)
    if other is not None:
        return _Outcome(error=other)
    shared, files = ray.get(given)
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        host = ray.util.get_node_ip_address()
        member = Member(rank, size, place.cores, place.gpu, host, Path(folder), desk)
        try:
            result = function(shared, member)
        except MemberLost:
            return _Outcome(lost=True)
        except RecstageError as error:
            return _Outcome(error=error)
    return _Outcome(result if rank == 0 else None)


class _Desk:
    """What is on its way to the caller, and where the first member listens."""

    def __init__(self) -> None:
        self._news: list[_File | _Step] = []
        self._address = ""

    def add(self, one: _File | _Step) -> None:
        self._news.append(one)

    def taken(self) -> list[_File | _Step]:
        found, self._news = self._news, []
        return found

    def announce(self, address: str) -> None:
        self._address = address

    def announced(self) -> str:
        return self._address
