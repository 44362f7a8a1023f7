"""The private folder of downloaded bundles: the sync process writes it, the workers read it.

    <bundles>/<registered name>/         mode 0700
        versions/<version>/              a bundle, complete and verified: it appears by one rename
        production.json                  what is staged Production and on disk, replaced by one rename
        good.json                        what last served: a restart without the registry begins with it
        registry.json                    a copy of the registry, for the operations page
        staging.json                     the same for Staging, with the tags of its experiment
        poll.json, staging-poll.json     the last poll of the registry
        poll.requested                   touched to request a poll at once
        origins.json                     when the registry made each version that is on disk

One sync process a machine reads the registry; any number of workers read this folder. Nothing here is a pickle, and
nothing is loaded from a folder that other accounts may write to.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from recstage.bundle import MANIFEST
from recstage.errors import BundleError, StoreError

RESTART = 75
"""Exit status by which the sync process asks to be started anew at once (EX_TEMPFAIL of sysexits.h)."""

ORIGINS_FILE = "origins.json"
Subject = Literal["registry", "version", "disk"]


@dataclass(frozen=True)
class ProductionVersion:
    """A version staged Production (or Staging) whose bundle is on disk.

    `since`: when it was promoted, ISO 8601 in UTC. `reason`, `promoted_by`: as the registry records
    them; `previous`: where a rollback, or a deletion of this version, leads.
    `experiment`: the tags of the experiment, of a version in Staging. `created_at`: when the registry made the version,
    milliseconds since 1970, 0 where that is not known: another registry counts from 1 as well.
    """

    name: str
    version: str
    folder: Path
    since: str | None = None
    promoted_by: str | None = None
    reason: str | None = None
    previous: str | None = None
    run_id: str | None = None
    experiment: Mapping[str, str] = field(default_factory=dict, hash=False)
    created_at: int = 0

    @property
    def key(self) -> str:
        """Identifies the version among those of all registries."""
        return f"{self.name}/{self.version}" + (f"@{self.created_at}" if self.created_at else "")

    def is_same(self, other: ProductionVersion) -> bool:
        """Whether both are one version of one registry, promoted again or not."""
        known = self.created_at and other.created_at
        return self.version == other.version and (not known or self.created_at == other.created_at)


@dataclass(frozen=True)
class PollResult:
    """What a poll of the registry found. `at`: Unix time; `version`: the one staged Production, None where none is.

    `problem`: what went wrong, and `about`: with what; `tries`: how often the version could not be fetched;
    `conflict`: how stage and alias contradict each other; `absent`: nothing is registered under the name.
    """

    at: float
    version: str | None
    problem: str | None = None
    tries: int = 0
    about: Subject = "registry"
    conflict: str = ""
    absent: bool = False


class BundleRepository:
    """The bundles of one registered model on disk, and which of them is Production."""

    pointer_file, good_file, poll_file = "production.json", "good.json", "poll.json"

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.folder = root / name
        self.versions = self.folder / "versions"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            StoreError: they cannot be made.
            BundleError: another account could change what is in them.
        """
        try:
            for folder in (self.folder.parent, self.folder, self.versions):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
            self.versions.chmod(0o700)
            found = self.folder.stat()
        except OSError as error:
            raise StoreError(
                str(self.folder),
                rule=f"the folder of bundles cannot be made ({error.strerror})",
                fix="Set RECSTAGE_SERVING_BUNDLE_DIR to a folder that can be written to",
            ) from error
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise BundleError(
                str(self.folder),
                rule="bundles are kept in a folder that only this account can enter",
                fix="Remove it, or set RECSTAGE_SERVING_BUNDLE_DIR to another folder",
            )

    # -- for the sync process -----------------------------------------------------------------------------------------

    def holds(self, version: str, created_at: int = 0) -> bool:
        """Whether the bundle of a version is on disk; `created_at` as in `ProductionVersion`.

        One that was fetched before such times were recorded counts as the version of its number.
        """
        if not (self.versions / version / MANIFEST).is_file():
            return False
        recorded = self._read(ORIGINS_FILE) or {}
        return not created_at or recorded.get(version, created_at) == created_at

    def put(
        self, version: str, fetch: Callable[[Path], Path], verify: Callable[[Path], object], created_at: int = 0
    ) -> Path:
        """Fetch a bundle, verify it, and only then let it appear as `versions/<version>`, whose path is returned.

        Args:
            version: its number.
            created_at: as in `ProductionVersion`.
            fetch: called with an empty folder; returns where in it the bundle lies.
            verify: raises where the bundle is broken. Nothing is left behind when this or `fetch` raises.
        """
        incoming = Path(tempfile.mkdtemp(prefix=".incoming-", dir=self.folder))
        try:
            bundle = fetch(incoming)
            verify(bundle)
            _make_read_only(bundle)
            place = self.versions / version
            self.drop(version)
            bundle.rename(place)
            self.record_origin(version, created_at)
            return place
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def record_origin(self, version: str, created_at: int) -> None:
        """Remember which version of that number is on disk."""
        recorded = self._read(ORIGINS_FILE) or {}
        if created_at and recorded.get(version) != created_at:
            here = {number: at for number, at in recorded.items() if (self.versions / number).is_dir()}
            self._write(ORIGINS_FILE, {**here, version: created_at})

    def drop(self, version: str) -> None:
        """Remove a bundle, so that it is fetched again."""
        place = self.versions / version
        if place.exists():
            doomed = Path(tempfile.mkdtemp(prefix=".incoming-", dir=self.folder))
            os.replace(place, doomed / "bundle")
            shutil.rmtree(doomed, ignore_errors=True)

    def stage(self, staged: ProductionVersion) -> None:
        """Announce the version in Production."""
        self._write(self.pointer_file, {**asdict(staged), "folder": staged.folder.name})

    def unset(self) -> None:
        """Announce that no version is Production any more."""
        for file in (self.pointer_file, self.good_file):
            (self.folder / file).unlink(missing_ok=True)

    def write_poll(self, result: PollResult) -> None:
        self._write(self.poll_file, asdict(result))

    def prune(self, keep: int = 3) -> None:
        """Remove all but the newest `keep` bundles, and what a killed fetch left behind.

        Production, Staging and the version that last served always stay.
        """
        announced = map(self._staged, ("production.json", "good.json", "staging.json"))
        held = {staged.version for staged in announced if staged is not None}
        folders = sorted(self.versions.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in [path for path in folders if path.name not in held][max(0, keep - len(held)) :]:
            shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob(".incoming-*"):
            shutil.rmtree(path, ignore_errors=True)

    # -- for the workers ----------------------------------------------------------------------------------------------

    def production(self) -> ProductionVersion | None:
        """The version announced last."""
        return self._staged(self.pointer_file)

    def good(self) -> ProductionVersion | None:
        """The version that last served."""
        return self._staged(self.good_file)

    def mark_good(self, staged: ProductionVersion) -> None:
        self._write(self.good_file, {**asdict(staged), "folder": staged.folder.name})

    def last_poll(self) -> PollResult | None:
        """What the last poll found; None before the first."""
        values = self._read(self.poll_file)
        return None if values is None else PollResult(**values)

    # -- further files ------------------------------------------------------------------------------------------------

    def read_json(self, file: str) -> dict | None:
        """The object in a file of this folder; None where it is missing or broken."""
        return self._read(file)

    def write_json(self, file: str, values: dict) -> None:
        """Replace a file of this folder by one rename. Raises `OSError`."""
        self._write(file, values)

    # -- requesting a poll --------------------------------------------------------------------------------------------

    def request_poll(self) -> None:
        self.folder.joinpath("poll.requested").touch()

    def poll_requested_at(self) -> int:
        """When a poll was last requested: a number that grows."""
        try:
            return self.folder.joinpath("poll.requested").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    # -- inside -------------------------------------------------------------------------------------------------------

    def _staged(self, file: str) -> ProductionVersion | None:
        values = self._read(file)
        return None if values is None else ProductionVersion(**{**values, "folder": self.versions / values["folder"]})

    def _read(self, file: str) -> dict | None:
        try:
            values = json.loads((self.folder / file).read_text())
        except (FileNotFoundError, ValueError):  # not written yet, or cut off by a full disk: treated as not written
            return None
        return values if isinstance(values, dict) else None

    def _write(self, file: str, values: dict) -> None:
        handle, path = tempfile.mkstemp(prefix=".incoming-", dir=self.folder)
        try:
            with os.fdopen(handle, "w") as out:
                json.dump(values, out)
                out.flush()
                os.fsync(out.fileno())
            os.replace(path, self.folder / file)
        except BaseException:
            Path(path).unlink(missing_ok=True)
            raise


def _make_read_only(bundle: Path) -> None:
    """What was verified stays as it is, and is readable by this account alone."""
    for path in bundle.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o400)
    bundle.chmod(0o700)


class StagingRepository(BundleRepository):
    """The same bundles, and which of them is Staging. No challenger is served from memory of an earlier start: without
    the registry, what is announced last counts, and nothing else."""

    pointer_file, good_file, poll_file = "staging.json", "staging-good.json", "staging-poll.json"

    def mark_good(self, staged: ProductionVersion) -> None:
        """Nothing: a challenger that is no longer announced is not served."""
