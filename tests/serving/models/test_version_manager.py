"""Following Production: swaps, broken versions, and what serves meanwhile."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
import stat
import threading
import time
import weakref

import numpy as np
import pytest

from recstage.errors import BundleError, StoreError
from recstage.models.factorization.als import ALS, ALSParams
from serving.models.repository import BundleRepository, PollResult, ProductionVersion
from serving.models.version_manager import VersionManager
from serving.monitoring.metrics import Metrics
from tests.serving.doubles import FakePointer


def manager_on(pointer, **options) -> VersionManager:
    return VersionManager("recommender", pointer, Metrics(), **options)


def spoil(staged: ProductionVersion, file: str = "state.npz") -> None:
    path = staged.folder / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def test_a_promoted_version_is_swapped_in_and_a_rollback_swaps_back(als, popularity, stage):
    first, second = stage(als, "1"), stage(popularity, "2")
    pointer = FakePointer(first)
    manager = manager_on(pointer)
    served = []
    for staged in (first, second, first):
        pointer.staged = staged
        manager.step()
        served.append((manager.served.version, manager.served.algorithm))
    assert served == [("1", "als"), ("2", "popularity"), ("1", "als")]


def test_a_version_promoted_again_is_not_loaded_again_but_reported_anew(als, stage):
    pointer = FakePointer(stage(als, "1", since="2026-01-01T00:00:00.000Z"))
    manager = manager_on(pointer)
    manager.step()
    model = manager.served.chain[0]
    pointer.staged = ProductionVersion("recommender", "1", pointer.staged.folder, since="2026-02-02T00:00:00.000Z")
    manager.step()
    assert manager.served.chain[0] is model
    assert manager.served.source.staged.since == "2026-02-02T00:00:00.000Z"


def test_a_version_of_the_same_number_from_another_registry_is_loaded_under_another_key(als, popularity, stage):
    pointer = FakePointer(stage(als, "1", created_at=1000))
    manager = manager_on(pointer)
    manager.step()
    key = manager.served.key
    pointer.staged = stage(popularity, "1", created_at=2000)
    manager.step()
    assert (manager.served.version, manager.served.algorithm) == ("1", "popularity")
    assert manager.served.key != key


@pytest.mark.parametrize("file", ["state.npz", "users.parquet", "items.parquet", "train.npz", "manifest.json"])
def test_a_corrupted_bundle_keeps_the_last_good_one_and_is_fetched_again(als, popularity, stage, file):
    pointer = FakePointer(stage(als, "1"))
    manager = manager_on(pointer)
    manager.step()
    pointer.staged = stage(popularity, "2")
    spoil(pointer.staged, file)
    manager.step()
    assert manager.served.version == "1"
    assert manager.failure.version == "2"
    assert pointer.dropped == ["2"]


def test_a_model_that_answers_differently_from_its_golden_answers_is_refused(als, popularity, stage):
    pointer = FakePointer(stage(als, "1"))
    manager = manager_on(pointer)
    manager.step()
    pointer.staged = stage(popularity, "2")
    path = pointer.staged.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["golden"][0]["scores"][0] += 1
    path.write_text(json.dumps(manifest))
    manager.step()
    assert manager.served.version == "1"
    assert "must score as it did" in manager.failure.reason


def test_a_model_that_fails_while_it_warms_is_refused(als, popularity, stage):
    def warm(served):
        if served.version == "2":
            raise MemoryError("no room")
        return served

    pointer = FakePointer(stage(als, "1"))
    manager = manager_on(pointer, warm=warm)
    manager.step()
    pointer.staged = stage(popularity, "2")
    manager.step()
    assert manager.served.version == "1"
    assert manager.failure.reason == "MemoryError: no room"
    assert pointer.dropped == []  # the bundle itself is sound


def test_it_is_known_while_a_version_is_made_ready_and_no_longer(als, popularity, stage):
    seen = []

    def warm(served):
        seen.append(manager.swapping)
        if served.version == "2":
            raise RuntimeError("does not warm")
        return served

    pointer = FakePointer(stage(als, "1"))
    manager = manager_on(pointer, warm=warm)
    for staged in (pointer.staged, stage(popularity, "2")):
        pointer.staged = staged
        assert not manager.swapping
        manager.step()
        assert not manager.swapping
    assert seen == [True, True]


def test_a_broken_version_is_tried_again_ever_more_rarely_and_at_once_on_request(als, popularity, stage, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("serving.models.version_manager.time.monotonic", lambda: clock[0])
    pointer = FakePointer(stage(popularity, "2"))
    spoil(pointer.staged)
    manager = manager_on(pointer, retry_seconds=4.0)
    tries = []
    for _ in range(200):
        manager.step()
        tries.append(manager.failure.tries)
        clock[0] += 0.1
    started = [tries.index(n) / 10 for n in range(1, max(tries) + 1)]
    gaps = np.diff(started)
    assert gaps == pytest.approx([1, 2, 4, 4, 4, 4], abs=0.15)
    manager.reload()
    manager.step()
    assert manager.failure.tries == 1


def test_the_reason_of_a_dropped_bundle_stays_until_it_is_fetched_again(als, popularity, stage, monkeypatch):
    """A retry finds no bundle: that it is missing says nothing of why it cannot be served."""
    clock = [1000.0]
    monkeypatch.setattr("serving.models.version_manager.time.monotonic", lambda: clock[0])
    pointer = FakePointer(stage(als, "1"))
    manager = manager_on(pointer)
    manager.step()
    pointer.staged = stage(popularity, "2")
    np.savez(pointer.staged.folder / "state.npz", evil=np.array([object()], dtype=object))
    path = pointer.staged.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    digest = hashlib.sha256((pointer.staged.folder / "state.npz").read_bytes()).hexdigest()
    manifest["files"]["state.npz"] = digest
    path.write_text(json.dumps(manifest))
    manager.step()
    reason = manager.failure.reason
    assert "only pickle could read" in reason
    shutil.rmtree(pointer.staged.folder)  # as the repository drops it
    for requested in (False, True):
        clock[0] += 100
        if requested:
            manager.reload()
        manager.step()
        assert manager.failure.reason == reason


def test_a_full_disk_below_the_bundles_is_known_and_the_version_serves(als, stage, monkeypatch):
    def full(staged: ProductionVersion) -> None:
        raise OSError(28, "No space left on device")

    pointer = FakePointer(stage(als, "1"))
    monkeypatch.setattr(pointer, "mark_good", full)
    manager = manager_on(pointer)
    manager.step()
    assert manager.served.version == "1"
    assert manager.not_writable == "No space left on device"


def test_a_mended_bundle_is_swapped_in_at_the_next_try(als, popularity, stage):
    pointer = FakePointer(stage(als, "1"))
    manager = manager_on(pointer)
    manager.step()
    pointer.staged = stage(popularity, "2")
    spoil(pointer.staged)
    manager.step()
    spoil(pointer.staged)  # the same bits again: as it was
    manager.reload()
    manager.step()
    assert manager.served.version == "2"
    assert manager.failure is None


def test_a_restart_with_a_broken_version_in_production_serves_the_last_good_one(als, popularity, stage):
    pointer = FakePointer(stage(popularity, "2"))
    pointer.last_good = stage(als, "1")
    spoil(pointer.staged)
    manager = manager_on(pointer)
    manager.step()
    assert manager.served.version == "1"
    assert manager.failure.version == "2"


def test_a_pointer_without_production_but_with_a_last_good_version_changes_nothing(als, stage):
    pointer = FakePointer(stage(als, "1"))
    manager = manager_on(pointer)
    manager.step()
    pointer.staged = None
    manager.step()
    assert manager.served.version == "1"


def test_a_version_that_was_unset_serves_no_more_and_leaves_its_popularity(als, stage, serve):
    pointer = FakePointer(stage(als, "1"))
    with serve(pointer) as client:
        service = client.app.state.service
        assert client.get("/api/recommendations?user_id=u5").json()["method_used"] == "als"
        pointer.staged = pointer.last_good = None
        service.versions.step()
        body = client.get("/api/recommendations?user_id=u5").json()
        assert (body["method_used"], body["model_version"]) == ("popularity", None)
        assert "nothing is staged Production" in client.get("/health/ready").json()["degraded"][0]
        pointer.staged = stage(als, "2")
        service.versions.step()
        assert client.get("/api/model").json()["version"] == "2"
        assert service.versions.last_popularity is None


def test_the_old_version_is_freed_with_the_last_request_that_holds_it_and_without_the_collector(als, popularity, stage):
    pointer = FakePointer(stage(als, "1"))
    manager = manager_on(pointer)
    manager.step()
    held = manager.served
    watched = weakref.ref(held.chain[0])
    gc.disable()
    try:
        pointer.staged = stage(popularity, "2")
        manager.step()
        assert watched() is not None
        del held
        assert watched() is None
    finally:
        gc.enable()


def test_every_request_of_a_storm_is_answered_whole_by_one_version(interactions, catalogue, stage, serve):
    """Two versions with different factors: a mix of them would give the scores of neither."""
    models = {
        str(n): ALS(ALSParams(factors=4 + 4 * n, iterations=3)).fit(interactions, catalogue=catalogue, seed=n)
        for n in (1, 2)
    }
    staged = {version: stage(model, version) for version, model in models.items()}
    expected = {version: model.recommend("u3", 5).item_ids for version, model in models.items()}
    assert expected["1"] != expected["2"]
    pointer = FakePointer(staged["1"])
    wrong, versions, stop = [], set(), threading.Event()
    with serve(pointer) as client:

        def ask() -> None:
            while not stop.is_set():
                answer = client.get("/api/recommendations", params={"user_id": "u3", "limit": 5})
                body = answer.json()
                versions.add(body.get("model_version"))
                if (
                    answer.status_code != 200
                    or [i["item_id"] for i in body["items"]] != expected[body["model_version"]]
                ):
                    wrong.append(body)

        thread = threading.Thread(target=ask)
        thread.start()
        for turn in range(10):
            pointer.staged = staged[str(turn % 2 + 1)]
            time.sleep(0.15)
        stop.set()
        thread.join()
    assert wrong == []
    assert versions == {"1", "2"}


# -- the folder of bundles --------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path) -> BundleRepository:
    made = BundleRepository(tmp_path / "serving", "recommender")
    made.prepare()
    return made


def test_the_folder_of_bundles_is_private(repository):
    assert repository.folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_another_account_is_refused(repository, monkeypatch):
    monkeypatch.setattr("serving.models.repository.os.geteuid", lambda: 12345)
    with pytest.raises(BundleError, match="only this account can enter"):
        repository.prepare()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "serving").write_text("a file")
    with pytest.raises(StoreError, match="the folder of bundles cannot be made"):
        BundleRepository(tmp_path / "serving", "recommender").prepare()


def test_a_bundle_that_fails_verification_never_appears(repository):
    def fetch(folder):
        (folder / "bundle").mkdir()
        return folder / "bundle"

    def refuse(folder):
        raise BundleError("bundle", rule="is broken", fix="Mend it")

    with pytest.raises(BundleError):
        repository.put("1", fetch, refuse)
    assert list(repository.versions.iterdir()) == []
    assert not list(repository.folder.glob(".incoming-*"))


def test_a_bundle_that_was_verified_is_read_only_and_readable_by_its_account_alone(repository):
    def fetch(folder):
        (folder / "bundle" / "parts").mkdir(parents=True)
        for name in ("manifest.json", "parts/state.npz"):
            (folder / "bundle" / name).write_text("{}")
        return folder / "bundle"

    place = repository.put("1", fetch, lambda folder: None)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (place, *place.rglob("*"))}
    assert modes == {"1": 0o700, "manifest.json": 0o400, "parts": 0o700, "state.npz": 0o400}
    repository.put("1", fetch, lambda folder: None)
    repository.drop("1")
    assert list(repository.versions.iterdir()) == []


def test_pruning_keeps_the_staged_and_the_good_version_whatever_their_age(repository):
    for number in range(1, 8):
        (repository.versions / str(number)).mkdir()
    repository.stage(ProductionVersion("recommender", "1", repository.versions / "1"))
    repository.mark_good(ProductionVersion("recommender", "2", repository.versions / "2"))
    repository.prune(keep=3)
    left = {path.name for path in repository.versions.iterdir()}
    assert {"1", "2"} < left
    assert len(left) == 3


def test_what_was_cut_off_by_a_full_disk_reads_as_not_there(repository):
    (repository.folder / "production.json").write_text('{"name": "recom')
    assert repository.production() is None
    repository.write_poll(PollResult(1.0, "3"))
    assert repository.last_poll() == PollResult(1.0, "3")
