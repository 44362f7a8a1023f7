"""Snapshots of the service's database: one moment, whole windows, shown lists, and no user who must not be in them."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recstage.config import DataConfig, ServiceSource
from recstage.data import dataset
from recstage.data.snapshots import exposures, extraction
from recstage.data.snapshots.connection import connected, digests
from recstage.data.sources import service
from serving.interfaces import Impression
from serving.store.admin import migrate
from serving.store.erasure.erasures import Erase
from serving.store.repositories.events import RecordEvents, now_ms
from serving.store.repositories.impressions import WriteImpressions
from serving.store.repositories.users import PutProfile
from tests.serving.store.factories import event, record

A_DAY_MS = 86_400_000


@pytest.fixture
def source(url, monkeypatch) -> ServiceSource:
    monkeypatch.setenv(service.URL_VARIABLE, url.render_as_string(hide_password=False))
    return ServiceSource()


@pytest.fixture
def show(do):
    """Writes a shown list."""

    def write(request_id: str, user_id: str, *item_ids: str, at: int | None = None) -> None:
        moment = (now_ms() if at is None else at) // 1000
        n = len(item_ids)
        shown = Impression(request_id, user_id, list(item_ids), [1.0] * n, [0.5] * n, "als", "3", moment)
        do(WriteImpressions([shown]))

    return write


def rows(folder, name):
    return pq.read_table(folder / name).to_pylist()


def test_a_snapshot_holds_events_shown_lists_items_and_digests(source, do, show, tmp_path):
    do(RecordEvents([event("ann", "film"), event("bob", "book")]))
    show("r1", "ann", "book", "film")
    folder = extraction.take(source, tmp_path)
    assert [(row["user_id"], row["item_id"]) for row in rows(folder, "events.parquet")] == [
        ("ann", "film"),
        ("bob", "book"),
    ]
    assert [(row["item_id"], row["rank"], row["propensity"]) for row in rows(folder, "exposures.parquet")] == [
        ("book", 1, 0.5),
        ("film", 2, 0.5),
    ]
    about = extraction.about(folder)
    assert (about.users, about.events, about.lists, about.exposures, about.until) == (2, 2, 1, 2, 2)
    assert folder.name == f"service-{about.digest}"
    with connected(source) as connection:
        keyed = digests(connection)
    packed = (folder / extraction.DIGESTS).read_bytes()
    assert keyed.contained("ann", packed)
    assert not keyed.contained("eve", packed)
    assert b"ann" not in packed


def test_the_same_content_is_the_same_snapshot(source, do, tmp_path):
    do(RecordEvents([event("ann", "film")]))
    first = extraction.take(source, tmp_path)
    assert extraction.take(source, tmp_path) == first
    do(RecordEvents([event("bob", "film")]))
    assert extraction.take(source, tmp_path) != first
    assert not list(tmp_path.glob(".partial-*"))


def test_users_who_opted_out_or_were_erased_are_in_no_file_of_it(source, do, show, tmp_path):
    do(RecordEvents([event("ann", "film"), event("bob", "film"), event("eve", "film")]))
    for user in ("ann", "bob", "eve"):
        show(f"r-{user}", user, "film")
    do(PutProfile("ann", role=None, categories=(), opted_out=True))
    do(Erase("bob", drop_queued=lambda user_id: 0))
    folder = extraction.take(source, tmp_path)
    with connected(source) as connection:
        keyed = digests(connection)
    packed = (folder / extraction.DIGESTS).read_bytes()
    for name in ("events.parquet", "exposures.parquet"):
        assert {row["user_id"] for row in rows(folder, name)} == {"eve"}
    assert [keyed.contained(user, packed) for user in ("ann", "bob", "eve")] == [False, False, True]
    assert extraction.about(folder).users_opted_out == 1


@pytest.mark.parametrize("hours", [-3, 0, 3], ids=lambda hours: f"the erasing host's clock {hours:+d} h")
def test_what_was_made_before_an_erasure_and_holds_the_user_is_deleted_by_the_next_preparation(
    source, do, tmp_path, monkeypatch, hours
):
    def events(*users: str) -> list:
        return [event(user, f"film {n}", occurred_at=now_ms() - n * 1000) for user in users for n in range(6)]

    do(RecordEvents(events("ann", "bob", "eve")))
    config = DataConfig(name="mine", source=source, weights={"click": 0.4})
    first = dataset.located(config, cache=tmp_path)
    made = dataset.load(first, cache=tmp_path)
    assert "bob" in made.split.train.users.ids
    with monkeypatch.context() as patch:
        patch.setattr("serving.store.erasure.erasures.now_ms", lambda: now_ms() + hours * 3_600_000)
        do(Erase("bob", drop_queued=lambda user_id: 0))
    second = dataset.located(first, cache=tmp_path)  # as a retraining that was interrupted goes on
    again = dataset.load(second, cache=tmp_path)
    assert not Path(first.source.path).exists()
    assert set(again.split.train.users.ids) == {"ann", "eve"}
    assert len(list(tmp_path.glob("mine-*"))) == len(list((tmp_path / "snapshots").glob("service-*"))) == 1
    if hours > 0:
        return  # events of before the erasure, as that host told the time, are ignored
    do(RecordEvents(events("bob")))  # who came back is in what is made from then on, and it stays
    third = dataset.located(config, cache=tmp_path)
    assert "bob" in dataset.load(third, cache=tmp_path).split.train.users.ids
    assert dataset.located(third, cache=tmp_path).source.path == third.source.path


def test_the_window_looks_back_from_the_newest_event(source, do, show, tmp_path):
    now = now_ms()
    do(RecordEvents([event("ann", "old", occurred_at=now - 10 * A_DAY_MS), event("ann", "new", occurred_at=now)]))
    show("r1", "ann", "new", at=now - 9 * A_DAY_MS)
    show("r2", "ann", "new", at=now)
    folder = extraction.take(source.model_copy(update={"days": 7.0}), tmp_path)
    assert [row["item_id"] for row in rows(folder, "events.parquet")] == ["new"]
    assert [row["request_id"] for row in rows(folder, "exposures.parquet")] == ["r2"]


def test_a_snapshot_is_of_one_moment_while_the_service_writes(source, do, tmp_path, monkeypatch):
    """A writer goes on between two of its queries, and is not kept waiting."""
    do(RecordEvents([event(f"u{i}", "film") for i in range(30)]))
    monkeypatch.setattr(extraction, "ROWS_AT_ONCE", 5)
    real, done = extraction._streamed, []

    def interrupted(connection, query, what, **given):
        for number, batch in enumerate(real(connection, query, what, **given)):
            if number == 1 and what == "events":
                writer = threading.Thread(target=do, args=(RecordEvents([event("late", "other")]),))
                writer.start()
                writer.join(10)
                done.append(not writer.is_alive())
                do(Erase("u20", drop_queued=lambda user_id: 0))
            yield batch

    monkeypatch.setattr(extraction, "_streamed", interrupted)
    folder = extraction.take(source, tmp_path)
    assert done == [True]
    assert [row["user_id"] for row in rows(folder, "events.parquet")] == [f"u{i}" for i in range(30)]
    assert {row["item_id"] for row in rows(folder, "items.parquet")} == {"film"}


def test_what_was_shown_and_passed_over_is_told_from_what_was_never_shown(source, do, show, tmp_path):
    now = now_ms()
    users, items = [f"u{i}" for i in range(8)], [f"i{i}" for i in range(6)]
    seen = [
        event(user, item, "click", occurred_at=now - 500_000 + 1000 * n)
        for n, (user, item) in enumerate(
            (u, i) for u in users for i in items if (u, i) not in {("u0", "i5"), ("u1", "i5")}
        )
    ]
    do(RecordEvents(seen))
    show("r1", "u0", "i5", "i0", at=now - 900_000)  # i0 was clicked later, i5 never
    show("r2", "u0", "i5", at=now - 100_000)
    show("r3", "new", "i0")  # nothing is known of this user
    config = DataConfig(**dataset.config_of("service")).model_copy(update={"source": source})
    made = dataset.load(config, cache=tmp_path)
    again = dataset.load(config, cache=tmp_path)  # from the cache
    for found in (made, again):
        user, item = found.split.train.users, found.split.train.items
        assert found.report["exposures"] == {
            "pairs shown": 3,
            "chosen": 1,
            "passed over": 1,
            "of users or items without an event": 1,
        }
        shape = (found.split.train.n_users, found.split.train.n_items)
        over = exposures.passed_over(found.exposures, shape)
        assert over.nnz == 1
        assert over[user.index_of(["u0"])[0], item.index_of(["i5"])[0]]
        assert not over[user.index_of(["u1"])[0], item.index_of(["i5"])[0]]  # never shown
        assert exposures.passed_over(found.exposures, shape, before=(now - 200_000) // 1000).nnz == 0


def test_a_snapshot_that_was_tampered_with_or_is_gone_is_told_in_one_line(source, do, tmp_path):
    do(RecordEvents([event("ann", "film")]))
    pinned = service.pinned(source, tmp_path)
    folder = extraction.take(source, tmp_path)
    (folder / "events.parquet").write_bytes(b"no")
    with pytest.raises(service.StoreError, match="the snapshot is damaged"):
        service.read(pinned)
    (folder / "snapshot.json").write_text(json.dumps({"nothing": 1}))
    with pytest.raises(service.StoreError, match="holds no whole snapshot"):
        extraction.about(folder)
    (folder / "snapshot.json").unlink()
    with pytest.raises(service.StoreError, match="no snapshot was taken of it, or it is gone"):
        service.read(pinned)


def test_an_interrupted_snapshot_leaves_nothing_behind(source, do, tmp_path, monkeypatch):
    do(RecordEvents([event("ann", "film")]))

    def killed(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(extraction, "items_of", killed)
        with pytest.raises(KeyboardInterrupt):
            extraction.take(source, tmp_path)
    assert list(tmp_path.glob("*service-*")) + list(tmp_path.glob(".partial*")) == []
    assert extraction.about(extraction.take(source, tmp_path)).events == 1


def test_a_database_of_an_earlier_revision_is_read_with_what_it_has(sqlite_url, monkeypatch, tmp_path):
    monkeypatch.setenv(service.URL_VARIABLE, sqlite_url.render_as_string(hide_password=False))
    record(sqlite_url, event("ann", "film"))
    for revision in ("0002", "0001"):
        migrate.downgrade(sqlite_url, revision, with_backup=False)
        folder = extraction.take(ServiceSource(), tmp_path)
        assert [row["user_id"] for row in rows(folder, "events.parquet")] == ["ann"]
        assert rows(folder, "items.parquet")[0]["attributes"] is None
