"""The private folder of downloaded bundles: what the watcher puts down and the answering processes pick up.

    <bundles>/<registered name>/         mode 0700
        versions/<version>/              a bundle, complete and verified: it appears by one rename
        production.json                  what is staged Production and is here, replaced by one rename
        good.json                        what last answered well: where a restart with the registry away begins
        poll.json                        the last poll of the registry
        poll.requested                        touched to ask the watcher for a look at once

The registry is read by one watcher process; any number of answering processes read this folder. Nothing here is a
pickle, and nothing is loaded from a folder that others may write to.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from recstage.errors import BundleError, StoreError


@dataclass(frozen=True)
class ProductionVersion:
    """A version staged Production whose bundle is on disk. `since`: when it was promoted, ISO 8601 in UTC; `reason`,
    `promoted_by` and `previous` as the registry recorded them."""

    name: str
    version: str
    folder: Path
    since: str | None = None
    promoted_by: str | None = None
    reason: str | None = None
    previous: str | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class PollResult:
    """What the watcher saw when it last looked at the registry. `version`: staged there, None where nothing is."""

    at: float
    version: str | None
    problem: str | None = None


class BundleRepository:
    """One registered model's place on disk."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.folder = root / name
        self.versions = self.folder / "versions"

    def prepare(self) -> None:
        """Make the folders. Raises `StoreError` where they cannot be made, and `BundleError` where another account
        could change what is in them."""
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

    # -- the watcher's side -------------------------------------------------------------------------------------------

    def holds(self, version: str) -> bool:
        return (self.versions / version / "manifest.json").is_file()

    def put(self, version: str, fetch: Callable[[Path], Path], verify: Callable[[Path], object]) -> Path:
        """Fetch a bundle (`fetch(empty folder)` returns where in it the bundle lies), verify it, and only then let it
        appear as `versions/<version>`. Nothing is left behind when either raises."""
        incoming = Path(tempfile.mkdtemp(prefix=".incoming-", dir=self.folder))
        try:
            bundle = fetch(incoming)
            verify(bundle)
            place = self.versions / version
            self.drop(version)
            bundle.rename(place)
            return place
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def drop(self, version: str) -> None:
        """Remove a bundle, so that it is fetched again."""
        place = self.versions / version
        if place.exists():
            doomed = Path(tempfile.mkdtemp(prefix=".incoming-", dir=self.folder))
            os.replace(place, doomed / "bundle")
            shutil.rmtree(doomed, ignore_errors=True)

    def stage(self, staged: ProductionVersion) -> None:
        """Announce what is in Production."""
        self._write("production.json", {**asdict(staged), "folder": staged.folder.name})

    def withdraw(self) -> None:
        """Nothing is Production any more, and somebody wanted it so."""
        for file in ("production.json", "good.json"):
            (self.folder / file).unlink(missing_ok=True)

    def write_poll(self, result: PollResult) -> None:
        self._write("poll.json", asdict(result))

    def prune(self, keep: int = 3) -> None:
        """Remove all but the newest `keep` bundles; what is staged and what last answered well always stay. Also what a
        killed fetch left behind."""
        held = {staged.version for staged in (self.production(), self.good()) if staged is not None}
        folders = sorted(self.versions.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in [path for path in folders if path.name not in held][max(0, keep - len(held)) :]:
            shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob(".incoming-*"):
            shutil.rmtree(path, ignore_errors=True)

    # -- the answering side -------------------------------------------------------------------------------------------

    def production(self) -> ProductionVersion | None:
        """What the watcher announced last."""
        return self._staged("production.json")

    def good(self) -> ProductionVersion | None:
        """What last answered well."""
        return self._staged("good.json")

    def mark_good(self, staged: ProductionVersion) -> None:
        self._write("good.json", {**asdict(staged), "folder": staged.folder.name})

    def last_poll(self) -> PollResult | None:
        """What the watcher saw last; None before its first look."""
        values = self._read("poll.json")
        return None if values is None else PollResult(**values)

    # -- asking for a poll --------------------------------------------------------------------------------------------

    def request_poll(self) -> None:
        self.folder.joinpath("poll.requested").touch()

    def poll_requested_at(self) -> int:
        """When a look was last asked for: a number that grows."""
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
        except (FileNotFoundError, ValueError):  # not written yet, or cut off by a full disk: as good as not written
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
