"""People: declared preferences, opting out, being forgotten."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import func, select

from serving.interfaces import Impression
from serving.monitoring.metrics import Metrics
from serving.store.audiences.stored import AudienceList, DeleteStaleAudiences, PutAudiences
from serving.store.db.connection import open_tool_engine, sqlite_path
from serving.store.db.id_digests import Digests
from serving.store.db.tables import Erasure, RecommendationImpression, Table, User, UserInteraction, UserRecommendation
from serving.store.erasure.erasures import _PERSONAL, Erase
from serving.store.patterns.stored import PutPatterns
from serving.store.repositories.events import RecordEvents, now_ms
from serving.store.repositories.feedback import ItemOutcome, RecordFeedback
from serving.store.repositories.items import IngestItems, NewItem
from serving.store.repositories.precomputed import PutLists, UserList
from serving.store.repositories.users import PutProfile, profile
from serving.store.store import Store
from tests.serving.store.databases import count, exposures
from tests.serving.store.factories import event, settings_for


def put(user_id: str, *, role=None, categories=(), opted_out=False) -> PutProfile:
    return PutProfile(user_id, role=role, categories=tuple(categories), opted_out=opted_out)


def erase(user_id: str, store=None) -> Erase:
    return Erase(user_id, drop_queued=store.impressions.forget if store else lambda user_id: 0)


def test_a_profile_is_read_as_it_was_put_and_replaced_whole(store, do):
    assert profile(store.reader, "ann") is None
    do(put("ann", role="editor", categories=["drama", "comedy"]))
    found = profile(store.reader, "ann")
    assert (found.role, found.categories, found.opted_out) == ("editor", ("drama", "comedy"), False)
    do(put("ann"))
    found = profile(store.reader, "ann")
    assert (found.role, found.categories) == (None, ())


def test_a_user_known_by_events_alone_has_an_empty_profile(store, do):
    do(RecordEvents([event("ann")]))
    found = profile(store.reader, "ann")
    assert (found.role, found.categories, found.opted_out, found.updated_at) == (None, (), False, None)


def test_users_are_found_by_role(store, do):
    do(put("ann", role="editor"))
    do(put("bob", role="author"))
    do(put("eve", role="editor"))
    assert store.users.with_role("editor") == {"ann", "eve"}
    assert store.users.with_role("pilot") == frozenset()


def test_every_worker_knows_who_opted_out(open_store):
    one, other = open_store(), open_store()
    assert other.users.opted_out() == frozenset()
    one.writer.submit(put("ann", opted_out=True)).result()
    assert other.users.opted_out() == {"ann"}
    one.writer.submit(put("ann")).result()
    assert other.users.opted_out() == frozenset()


def test_opting_out_voids_the_lists_made_for_the_user(store, do, url):
    do(PutLists("recommender", "7", [UserList("ann", ["film"], [0.9], "als")], now_ms() + 60_000))
    do(put("ann", opted_out=True))
    assert store.precomputed.precomputed("ann", "recommender", "7") is None
    assert do(PutLists("recommender", "7", [UserList("ann", ["film"], [0.9], "als")], now_ms() + 60_000)) == 0
    assert count(url, UserRecommendation) == 0


def test_users_who_opted_out_or_were_erased_are_in_no_stored_audience(store, do):
    fill(store, do)
    stored = ("film", "recommender-reverse", "2")
    assert store.users.audience(*stored).user_ids == ("ann", "bob")
    before = store.users.users_version()
    do(put("ann", opted_out=True))
    assert store.users.audience(*stored).user_ids == ("bob",)
    assert store.users.users_version() != before
    do(erase("bob", store))
    again = AudienceList("film", ["ann", "bob", "cid"], [0.9, 0.8, 0.7], "reverse-als")
    do(PutAudiences("recommender-reverse", "2", [again], now_ms() + 60_000))
    assert store.users.audience(*stored).user_ids == ("cid",)
    assert store.users.audience("film", "recommender-reverse", "3") is None
    assert do(DeleteStaleAudiences("recommender-reverse", keep="3")) == 1


def fill(store, do) -> None:
    """Something of ann and bob in every table."""
    now = now_ms()
    do(IngestItems([NewItem("film", "A film", "", ("drama",))]))
    for name in ("ann", "bob"):
        do(put(name, role="editor", categories=["drama"]))
        do(RecordEvents([event(name, "film"), event(name, "book")]))
        version = store.histories.history(name).version
        do(PutPatterns(name, version, {}, "", now))
        store.impressions.record(Impression(f"r-{name}", name, ("film",), (1.0,), (1.0,), "als", "7", now // 1000 + 1))
        do(RecordFeedback(f"r-{name}", None, [ItemOutcome("film", "click", now)], queued=store.impressions.queued))
        do(PutLists("recommender", "7", [UserList(name, ["film"], [0.9], "als")], now + 60_000))
    audience = AudienceList("film", ["ann", "bob"], [0.9, 0.8], "reverse-als")
    do(PutAudiences("recommender-reverse", "2", [audience], now + 60_000))


def test_erasure_removes_every_row_of_the_user_and_no_other(store, do, url):
    fill(store, do)
    erased = do(erase("ann", store))
    assert erased.rows == {
        "user_patterns": 1,
        "user_profiles": 1,
        "user_interactions": 2,
        "recommendation_feedback": 1,
        "recommendation_impressions": 1,
        "user_recommendations": 1,
        "item_audiences": 1,
        "users": 1,
    }
    assert exposures(url) == {"film": 1}  # bob's list
    with open_tool_engine(url).connect() as connection:
        for name, table in Table.metadata.tables.items():
            if "user_id" in table.c:
                left = connection.execute(select(func.count()).where(table.c.user_id == "ann")).scalar_one()
                bobs = connection.execute(select(func.count()).where(table.c.user_id == "bob")).scalar_one()
                assert (name, left) == (name, 0)
                assert bobs >= 1


def test_no_table_with_personal_rows_is_forgotten_by_the_erasure():
    personal = {name for name, table in Table.metadata.tables.items() if "user_id" in table.c}
    assert personal == {table.__tablename__ for table in (*_PERSONAL, UserInteraction, RecommendationImpression)}


def test_the_id_is_nowhere_in_the_file_after_an_erasure(sqlite_url, data, tmp_path):
    store = Store(sqlite_url, data, settings_for(sqlite_url, tmp_path), Metrics())
    name = "unmistakable-user-4711"
    store.writer.submit(RecordEvents([event(name, context={"who": name}), event("bob")])).result()
    path = sqlite_path(sqlite_url)
    files = [path, path.with_name(path.name + "-wal")]
    assert any(name.encode() in file.read_bytes() for file in files)
    store.writer.submit(erase(name)).result()
    store.close()
    assert not any(name.encode() in file.read_bytes() for file in files if file.exists())


def test_lists_that_wait_to_be_stored_are_forgotten_too(store, do, url):
    late = Impression("r1", "ann", ("film",), (1.0,), (1.0,), "als", "7", now_ms() // 1000 - 5)
    do(RecordEvents([event("ann")]))
    store.impressions._wake = lambda: None
    do(erase("ann", store))
    store.impressions.record(late)  # a list that was made just before, and queued just after
    task = store.impressions.take()
    if task is not None:
        do(task)
    assert count(url, User) == 0


def test_erased_users_are_reported_even_after_they_came_back(store, do):
    assert store.users.erased(["ann", "bob", "cid"]) == frozenset()
    do(RecordEvents([event("ann"), event("bob")]))
    do(erase("ann", store))
    do(erase("cid", store))
    assert store.users.erased(["ann", "bob", "cid"]) == {"ann", "cid"}
    do(RecordEvents([event("ann", occurred_at=now_ms() + 60_000)]))
    assert store.users.erased(["ann", "bob"]) == {"ann"}


def test_erasing_twice_and_erasing_an_unknown_user_succeed(store, do, url):
    do(RecordEvents([event("ann")]))
    first = do(erase("ann"))
    second = do(erase("ann"))
    assert sum(second.rows.values()) == 0
    assert second.erased_at >= first.erased_at
    assert count(url, Erasure) == 1


def test_digests_recognise_an_id_and_differ_between_databases():
    one, other = Digests(b"a" * 32), Digests(b"b" * 32)
    assert one.digest("ann") == one.digest("ann") != one.digest("bob")
    assert one.digest("ann") != other.digest("ann")
    packed = one.packed(f"u{i}" for i in range(1000))
    assert len(packed) == 8 * 1000
    assert all(one.contained(f"u{i}", packed) for i in (0, 1, 500, 999))
    assert not any(one.contained(f"v{i}", packed) for i in range(1000))
    assert not one.contained("ann", b"")


@pytest.mark.parametrize("pragma", ["foreign_keys", "secure_delete", "synchronous"])
def test_sqlite_connections_are_durable_and_strict(sqlite_url, pragma):
    with open_tool_engine(sqlite_url).connect() as connection:
        value = connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()
    assert value == {"foreign_keys": 1, "secure_delete": 1, "synchronous": 2}[pragma]
    with closing(sqlite3.connect(sqlite_path(sqlite_url))) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
