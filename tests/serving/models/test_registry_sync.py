"""The sync process: what it fetches, refuses and reports; and that exactly one runs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recstage import bundle
from recstage.errors import BundleError, RegistryError, StoreError
from recstage.registry import Change, Resolution, Version
from serving.models import registry_sync, sync_process
from serving.models.registry_sync import RegistrySync, verify
from serving.models.repository import RESTART, BundleRepository, ProductionVersion
from serving.models.sync_process import SyncSupervisor


@pytest.fixture
def saved(popularity, tmp_path) -> Path:
    bundle.save(popularity, tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def repository(tmp_path) -> BundleRepository:
    return BundleRepository(tmp_path / "serving", "recommender")


class Registry:
    """A fake registry whose state a test sets."""

    def __init__(self, saved: Path) -> None:
        self.saved = saved
        self.version: int | None = 1
        self.tags: dict[str, str] = {}
        self.error: Exception | None = None
        self.known = True
        self.fetched = 0
        self.fetch_error: Exception | None = None
        self.conflict = ""
        self.promoted: list[int] = []
        self.deleted: set[int] = set()

    def reconcile(self, name: str) -> Resolution:
        if self.error is not None:
            raise self.error
        if self.version is None:
            return Resolution(None)
        version = Version(name, self.version, "Production", "run-1", "source", 0, 0, self.tags)
        return Resolution(version, conflict=self.conflict, updated_at=len(self.promoted) + len(self.deleted))

    def versions(self, name: str) -> list[Version]:
        numbers = {1, *self.promoted} - self.deleted
        return [Version(name, number, "None", "run-1", "source", 0, 0, {}) for number in numbers]

    def history(self, name: str) -> list[Change]:
        return [Change(number, None, at, "alex", "promote") for at, number in enumerate(self.promoted, start=1)]

    def fetch(self, version: Version, folder: Path) -> Path:
        self.fetched += 1
        if self.fetch_error is not None:
            raise self.fetch_error
        shutil.copytree(self.saved, folder / "bundle")
        return folder / "bundle"

    def exists(self, name: str) -> bool:
        return self.known


@pytest.fixture
def registry(saved, monkeypatch) -> Registry:
    double = Registry(saved)
    monkeypatch.setattr(registry_sync.registry, "reconcile", double.reconcile)
    monkeypatch.setattr(registry_sync.registry, "fetch", double.fetch)
    monkeypatch.setattr(registry_sync.registry, "versions", double.versions)
    monkeypatch.setattr(registry_sync.registry, "history", double.history)
    monkeypatch.setattr(registry_sync.mlflow_client, "exists", double.exists)
    return double


# -- polls ------------------------------------------------------------------------------------------------------------


def test_a_poll_fetches_verifies_and_announces_with_the_registry_s_tags(registry, repository):
    registry.tags = {"promoted_at": "2026-11-20T18:18:01.123Z", "promoted_by": "alex", "previous_version": "none"}
    RegistrySync(repository).poll()
    place = repository.versions / "1"
    assert repository.production() == ProductionVersion(
        "recommender", "1", place, since="2026-11-20T18:18:01.123Z", promoted_by="alex", run_id="run-1"
    )
    assert repository.last_poll().version == "1"
    bundle.load(place)


def test_a_bundle_on_disk_is_not_fetched_again_but_its_promotion_is_announced(registry, repository):
    watch = RegistrySync(repository)
    for number, reason in ((1, "first"), (2, "better"), (1, "rolled back")):
        registry.version, registry.tags = number, {"reason": reason}
        watch.poll()
        assert (repository.production().version, repository.production().reason) == (str(number), reason)
    assert registry.fetched == 2


@pytest.mark.parametrize(
    "error",
    [
        StoreError("sqlite:///x", rule="the database is locked", fix="Wait"),
        RuntimeError("a library's own"),
        RegistryError("version 1", rule="is strange", fix="Check it"),
    ],
)
def test_an_unavailable_registry_changes_nothing_and_is_reported(registry, repository, error):
    watch = RegistrySync(repository)
    watch.poll()
    registry.error = error
    watch.poll()
    assert repository.production().version == "1"
    assert str(error) in repository.last_poll().problem
    registry.error = None
    watch.poll()
    assert repository.last_poll().problem is None


def test_a_name_that_was_never_registered_is_no_problem_and_unsets_nothing(registry, repository):
    watch = RegistrySync(repository)
    watch.poll()
    registry.error, registry.known = RegistryError("'recommender'", rule="there is none", fix="Register one"), False
    watch.poll()
    assert repository.last_poll().problem is None
    assert repository.production().version == "1"


def test_an_unset_production_removes_both_announcements(registry, repository):
    watch = RegistrySync(repository)
    watch.poll()
    repository.mark_good(repository.production())
    registry.version = None
    watch.poll()
    assert repository.production() is None
    assert repository.good() is None


def test_a_broken_version_is_fetched_ever_more_rarely_and_at_once_on_request(registry, repository, saved, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("serving.models.registry_sync.time.monotonic", lambda: clock[0])
    (saved / "state.npz").write_bytes(b"cut off")
    watch = RegistrySync(repository)
    fetched_at = []
    for _ in range(160):
        before = registry.fetched
        watch.poll()
        if registry.fetched > before:
            fetched_at.append(clock[0] - 1000)
        clock[0] += 0.1
    assert fetched_at == pytest.approx([0, 1, 3, 7, 15], abs=0.25)
    assert repository.production() is None
    assert "does not match its SHA-256" in repository.last_poll().problem
    assert not list(repository.folder.glob(".incoming-*"))
    before = registry.fetched
    repository.request_poll()
    watch.poll()
    assert registry.fetched == before + 1


def test_what_a_killed_fetch_left_behind_is_cleared_at_the_start(registry, repository):
    repository.prepare()
    (repository.folder / ".incoming-abc").mkdir()
    RegistrySync(repository)
    assert not list(repository.folder.glob(".incoming-*"))


def test_a_registered_model_that_is_gone_is_reported_as_absent(registry, repository):
    watch = RegistrySync(repository)
    registry.error, registry.known = RegistryError("'recommender'", rule="there is none", fix="Register one"), False
    watch.poll()
    assert repository.last_poll().absent


def test_a_contradiction_of_stage_and_alias_is_reported_and_the_version_stays(registry, repository):
    registry.conflict = "stage Production moved to 2 and alias production to 3: version 1 stays until they agree"
    RegistrySync(repository).poll()
    assert repository.last_poll().conflict == registry.conflict
    assert repository.production().version == "1"


def test_failed_tries_of_a_version_are_counted_in_the_poll(registry, repository, monkeypatch):
    registry.fetch_error = StoreError("version 1", rule="its artifacts cannot be read", fix="Mount them")
    clock = [1000.0]
    monkeypatch.setattr("serving.models.registry_sync.time.monotonic", lambda: clock[0])
    watch = RegistrySync(repository)
    counted = []
    for clock[0] in (1000.0, 1000.5, 1001.5, 1004.0):
        watch.poll()
        poll = repository.last_poll()
        counted.append((poll.version, poll.about, poll.tries))
    assert counted == [("1", "version", 1), ("1", "version", 1), ("1", "version", 2), ("1", "version", 3)]
    assert "its artifacts cannot be read" in repository.last_poll().problem
    registry.fetch_error = None
    repository.request_poll()
    watch.poll()
    assert (repository.last_poll().problem, repository.last_poll().tries) == (None, 0)


def test_a_full_disk_is_reported_as_one_of_the_bundles(registry, repository, monkeypatch):
    watch = RegistrySync(repository)

    def full(staged: ProductionVersion) -> None:
        raise OSError(28, "No space left on device", str(repository.folder))

    monkeypatch.setattr(repository, "stage", full)
    watch.poll()
    poll = repository.last_poll()
    assert (poll.about, poll.problem) == ("disk", "No space left on device (ENOSPC)")


def test_the_previous_version_is_where_a_rollback_leads_also_after_a_deletion(registry, repository):
    watch = RegistrySync(repository)
    registry.promoted, registry.version = [1, 2, 3], 3
    registry.tags = {"previous_version": "2"}
    watch.poll()
    assert repository.production().previous == "2"
    registry.deleted = {2}
    watch.poll()
    assert repository.production().previous == "1"
    registry.deleted = {1, 2}
    watch.poll()
    assert repository.production().previous is None


# -- what it refuses --------------------------------------------------------------------------------------------------


def test_a_link_an_unlisted_file_a_missing_one_and_a_name_that_leads_out_are_refused(saved):
    verify(saved)
    (saved / "extra.npz").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"extra.npz is not listed"):
        verify(saved)
    (saved / "extra.npz").unlink()
    (saved / "link").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match="link is a link"):
        verify(saved)
    (saved / "link").unlink()
    manifest = json.loads((saved / "manifest.json").read_text())
    outside = saved.parent / "outside.npz"
    outside.write_bytes(b"x")
    digest = hashlib.sha256(b"x").hexdigest()
    for name, rule in (
        ("absent.npz", "is missing"),
        ("../outside.npz", "which is not inside the bundle"),
        (str(outside), "which is not inside the bundle"),
    ):
        changed = {**manifest, "files": {**manifest["files"], name: digest}}
        (saved / "manifest.json").write_text(json.dumps(changed))
        with pytest.raises(BundleError, match=rule):
            verify(saved)


def test_a_listed_file_that_is_a_link_is_refused_though_its_content_is_right(saved, tmp_path):
    """What it leads to may change after it was verified."""
    elsewhere = tmp_path / "state.npz"
    (saved / "state.npz").rename(elsewhere)
    (saved / "state.npz").symlink_to(elsewhere)
    with pytest.raises(BundleError, match=r"state\.npz is a link"):
        verify(saved)


def test_a_folder_that_is_a_link_is_refused(saved, tmp_path):
    (tmp_path / "parts").mkdir()
    (saved / "parts").symlink_to(tmp_path / "parts")
    with pytest.raises(BundleError, match="parts is a link"):
        verify(saved)


# -- the process ------------------------------------------------------------------------------------------------------


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Programs that sleep in place of the sync process, in the order of their start."""
    programs: list[subprocess.Popen] = []

    def spawn(self) -> subprocess.Popen:
        command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        programs.append(subprocess.Popen(command, stdin=subprocess.PIPE))
        return programs[-1]

    monkeypatch.setattr(SyncSupervisor, "_spawn", spawn)
    monkeypatch.setattr(sync_process, "PAUSE_SECONDS", 0.05)
    yield programs
    for program in programs:
        program.kill()
        program.wait()
        program.stdin.close()


def until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_sync_process_that_dies_is_started_again_and_ends_with_its_worker(started, settings_in):
    settings = settings_in()
    settings.bundle_root.mkdir(parents=True)
    watch = SyncSupervisor(settings)
    watch.start()
    until(lambda: len(started) == 1)
    os.kill(started[0].pid, 9)
    until(lambda: len(started) == 2)
    watch.stop()
    assert started[1].poll() == 0


def test_one_of_several_workers_has_the_sync_process_and_another_takes_over(started, settings_in):
    settings = settings_in()
    settings.bundle_root.mkdir(parents=True)
    first, second = SyncSupervisor(settings), SyncSupervisor(settings)
    first.start()
    until(lambda: len(started) == 1)
    second.start()
    time.sleep(0.3)
    assert len(started) == 1
    first.stop()
    until(lambda: len(started) == 2)
    second.stop()


@pytest.mark.integration
def test_the_sync_process_ends_when_its_standard_input_closes(tmp_path):
    command = [sys.executable, "-m", "serving.models.registry_sync", str(tmp_path / "bundles"), "60", "recommender"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/nowhere/mlflow.db"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    try:
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()


def test_a_sync_process_that_asks_for_it_is_started_anew_without_a_pause(started, settings_in, monkeypatch):
    monkeypatch.setattr(sync_process, "PAUSE_SECONDS", 60.0)  # a pause would outlast the test
    settings = settings_in()
    settings.bundle_root.mkdir(parents=True)
    supervisor = SyncSupervisor(settings)
    spawn = supervisor._spawn

    def restarting() -> subprocess.Popen:
        if started:
            return spawn()
        started.append(subprocess.Popen([sys.executable, "-c", f"raise SystemExit({RESTART})"], stdin=subprocess.PIPE))
        return started[-1]

    monkeypatch.setattr(supervisor, "_spawn", restarting)
    supervisor.start()
    until(lambda: len(started) == 2)
    supervisor.stop()
