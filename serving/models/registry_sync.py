"""The sync process: the only one that talks to the MLflow registry; it fetches bundles for the workers.

    python -m serving.models.registry_sync BUNDLES POLL_SECONDS NAME...

Each poll reconciles stage and alias, fetches the Production version where it is not here yet, verifies every digest,
and announces it. It ends when its standard input closes, that is, with the process that started it.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from recstage import registry, tracking
from recstage.bundle import MANIFEST, read_manifest
from recstage.classifier import storage
from recstage.errors import BundleError, RecstageError, RegistryError
from recstage.experiments import assignment
from recstage.registry import Resolution, Version, mlflow_client
from serving.models.backoff import Backoff, Failure
from serving.models.overview.reader import CopyWriter
from serving.models.repository import RESTART, BundleRepository, PollResult, ProductionVersion, StagingRepository
from serving.monitoring import logging as logs

log = logging.getLogger("serving.models.registry_sync")
BACKOFF = Backoff(first=1.0, longest=60.0)
STEP_SECONDS = 0.05
MISSING = "the file of the registry's database is gone: it was moved or deleted"


class RegistrySync:
    """Follows one registered model into one repository of bundles."""

    def __init__(self, repository: BundleRepository) -> None:
        self._repository = repository
        self._poll_requested_at = repository.poll_requested_at()
        self._failure: Failure | None = None
        self._problem: str | None = None
        self._rollback: str | None = None
        self._rollback_read_at: tuple[int, int] | None = None
        repository.prepare()
        repository.prune()

    @property
    def requested(self) -> bool:
        """Whether a poll was requested since the last one."""
        return self._repository.poll_requested_at() != self._poll_requested_at

    def poll(self) -> None:
        """Poll the registry once. Never raises: problems go to the repository and the log."""
        if self.requested:
            self._poll_requested_at, self._failure = self._repository.poll_requested_at(), None
        now = time.time()
        try:
            found = self._current()
        except RegistryError as error:
            result = PollResult(now, None, absent=True) if self._absent() else PollResult(now, None, str(error))
        except RecstageError as error:
            result = PollResult(now, None, str(error))
        except Exception as error:  # a library's own error: the next poll may well succeed
            result = PollResult(now, None, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        else:
            result = self._follow(found)
        self._report(result)

    def report_missing(self) -> None:
        """In place of a poll: there is no database to read."""
        self._poll_requested_at = self._repository.poll_requested_at()
        self._report(PollResult(time.time(), None, MISSING))

    def _follow(self, found: Resolution) -> PollResult:
        """Bring what is on disk in line with what the registry says."""
        version = found.version
        number = None if version is None else str(version.number)
        try:
            if version is None:
                self._repository.unset()
            else:
                self._fetch(version, found.updated_at)
        except OSError as error:
            return PollResult(time.time(), number, _disk_problem(error), about="disk", conflict=found.conflict)
        failure = None if version is None else self._failure
        if failure is None:
            return PollResult(time.time(), number, conflict=found.conflict)
        return PollResult(time.time(), number, failure.reason, failure.tries, about="version", conflict=found.conflict)

    def _current(self) -> Resolution:
        return registry.reconcile(self._repository.name)

    def _tags(self, version: Version) -> Mapping[str, str]:
        """Tags that the workers are to know."""
        return {}

    def _absent(self) -> bool:
        """Whether nothing was ever registered under the name.

        That is neither a problem nor an unset Production: this may be another registry than yesterday's.
        """
        try:
            return not mlflow_client.exists(self._repository.name)
        except RecstageError:
            return False

    def _fetch(self, version: Version, updated_at: int) -> None:
        number, failure = str(version.number), self._failure
        if failure is not None and failure.blocks(number):
            return
        try:
            if not self._repository.holds(number, version.created_at):
                self._repository.put(number, lambda folder: registry.fetch(version, folder), verify, version.created_at)
            self._repository.record_origin(number, version.created_at)
        except RecstageError as error:
            # what is given is a folder of this machine; the version is named beside the reason
            reason = f"{error.rule}. {error.fix}." if isinstance(error, BundleError) else str(error)
            self._failure = BACKOFF.after(failure, number, reason)
            return
        except OSError as error:
            self._failure = BACKOFF.after(failure, number, _disk_problem(error))
            return
        self._failure = None
        staged = production_version_of(
            version,
            self._repository.versions / number,
            self._rollback_target(version, updated_at),
            self._tags(version),
        )
        if self._repository.production() != staged:
            self._repository.stage(staged)
            self._repository.prune()
            log.info("announced", extra={"event": "announced", "model": version.name, "version": number})

    def _rollback_target(self, version: Version, updated_at: int) -> str | None:
        """Where a rollback, or the deletion of this version, leads; read again where the model has changed."""
        state = (version.number, updated_at)
        if state != self._rollback_read_at:
            existing = [one.number for one in registry.versions(version.name)]
            target = registry.predecessor(registry.history(version.name), version.number, existing)
            self._rollback, self._rollback_read_at = None if target is None else str(target), state
        return self._rollback

    def _report(self, result: PollResult) -> None:
        if result.problem is not None and result.problem != self._problem:
            log.warning(result.problem, extra={"event": "poll-failed", "model": self._repository.name})
        self._problem = result.problem
        try:
            self._repository.write_poll(result)
        except OSError as error:
            log.warning("the last poll cannot be recorded", extra={"event": "disk", "error": str(error)})


def _disk_problem(error: OSError) -> str:
    """Why a folder cannot be written, without its path."""
    return f"{error.strerror or type(error).__name__} ({errno.errorcode.get(error.errno or 0, 'no number')})"


class StagingSync(RegistrySync):
    """The same for the version in Staging, and the tags of its experiment."""

    def _current(self) -> Resolution:
        found = registry.reconcile_staging(self._repository.name)
        return Resolution(found.version, found.change, found.conflict)

    def _rollback_target(self, version: Version, updated_at: int) -> str | None:
        return None

    def _tags(self, version: Version) -> Mapping[str, str]:
        return {key: version.tags[key] for key in assignment.TAGS if key in version.tags}


def production_version_of(
    version: Version, folder: Path, previous: str | None, experiment: Mapping[str, str] | None = None
) -> ProductionVersion:
    """What the registry records of a version, as the workers read it; `previous`: where a rollback leads."""
    tags = version.tags
    return ProductionVersion(
        name=version.name,
        version=str(version.number),
        folder=folder,
        since=tags.get("promoted_at"),
        promoted_by=tags.get("promoted_by"),
        reason=tags.get("reason") or None,
        previous=previous,
        run_id=version.run_id or None,
        experiment=dict(experiment or {}),
        created_at=version.created_at,
    )


def verify(folder: Path) -> None:
    """Check every file of a downloaded bundle against its manifest, loading nothing.

    Raises `BundleError` where a file is missing, changed, a link, or not listed in the manifest.
    """
    known = storage.read_manifest(folder) if storage.is_classifier(folder) else read_manifest(folder)
    listed = known.files
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise _broken(folder, f"{name} is a link, and a bundle holds files alone")
        if not (path.is_dir() or name in listed or name == MANIFEST):
            raise _broken(folder, f"{name} is not listed in its manifest")
    for name, digest in listed.items():
        path = folder / name
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise _broken(folder, f"its manifest lists {name}, which is not inside the bundle")
        if not path.is_file():
            raise _broken(folder, f"{name} is missing")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            raise _broken(folder, f"{name} does not match its SHA-256")


def _broken(folder: Path, what: str) -> BundleError:
    return BundleError(f"bundle '{folder.name}'", rule=what, fix="Train it again, or promote another version")


class RegistryDatabase:
    """Notices that another database took the place of the one that this process reads, or that it was taken away."""

    def __init__(
        self,
        identity: Callable[[], object | None] = tracking.database_identity,
        file: Callable[[], Path | None] = tracking.database_file,
    ) -> None:
        self._identity, self._file = identity, file
        self._known = identity()

    def replaced(self) -> bool:
        """Whether it was; a file that is missing for a moment is not."""
        now = self._identity()
        if self._known is None:
            self._known = now
        return now is not None and now != self._known

    def missing(self) -> bool:
        """Whether its file is gone; MLflow's connections would go on reading what was moved or deleted."""
        file = self._file()
        return self._known is not None and file is not None and not file.exists()


def main(arguments: list[str]) -> int:
    """Poll until standard input closes; the exit status, `RESTART` where the registry's database was replaced."""
    root, poll_seconds, *names = arguments
    logs.configure(os.environ.get(logs.LOG_LEVEL, "info"))
    ended = threading.Event()
    threading.Thread(target=_end_with_parent, args=(ended,), daemon=True).start()
    database = RegistryDatabase()
    syncs = [RegistrySync(BundleRepository(Path(root), name)) for name in names]
    syncs[1:1] = [
        StagingSync(StagingRepository(Path(root), names[0]))
    ]  # Staging of the first, once Production is known
    copy = CopyWriter(BundleRepository(Path(root), names[0]))
    while not ended.is_set():
        if database.replaced():
            log.warning("the registry's database was replaced; it is opened anew", extra={"event": "registry-replaced"})
            return RESTART
        requested = any(sync.requested for sync in syncs)
        if database.missing():
            for sync in syncs:
                sync.report_missing()
        else:
            for sync in syncs:
                sync.poll()
            copy.refresh(at_once=requested)
        until = time.monotonic() + float(poll_seconds)
        while time.monotonic() < until and not ended.is_set() and not any(sync.requested for sync in syncs):
            ended.wait(STEP_SECONDS)
    return 0


def _end_with_parent(ended: threading.Event) -> None:
    while sys.stdin.buffer.read(1):
        pass
    ended.set()


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)  # tearing MLflow's modules down would delay the end of the service
