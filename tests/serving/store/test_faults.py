"""A database that is locked, full, moved, unavailable or corrupt; and processes that write at the same time."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from recstage.errors import ConfigError
from serving.app import create_app
from serving.interfaces import NO_HISTORY, Impression
from serving.monitoring.metrics import Metrics
from serving.settings import ServingSettings
from serving.store.admin import backup, migrate
from serving.store.db.connection import open_tool_engine, parse_url, sqlite_path, to_store_error
from serving.store.db.errors import SchemaMismatch, StoreBusy, StoreCorrupt, StoreFull, StoreUnavailable
from serving.store.db.tables import Table, UserInteraction
from serving.store.db.writer import Writer
from serving.store.repositories.events import RecordEvents
from serving.store.repositories.items import ChangeItem, IngestItems, NewItem
from serving.store.repositories.users import PutProfile
from serving.store.store import Store
from tests.serving.store.databases import count, locked
from tests.serving.store.factories import event, settings_for, wait_until

CLICK = {"user_id": "ann", "item_id": "film", "interaction_type": "click"}
OUTCOME = {"item_id": "film", "outcome": "click"}


@pytest.fixture
def sqlite_store(sqlite_url, data, tmp_path):
    found = Store(sqlite_url, data, settings_for(sqlite_url, tmp_path), Metrics(), busy_timeout=0.2)
    yield found
    found.close()


def do(store, task):
    return store.writer.submit(task).result(timeout=20)


def rename_database(url) -> None:
    time.sleep(0.02)  # a reader looks at the file at most every ten milliseconds
    path = sqlite_path(url)
    for file in path.parent.glob("service.db*"):
        file.rename(file.with_name("renamed-" + file.name))


def restore_name(url) -> None:
    path = sqlite_path(url)
    for file in path.parent.glob("renamed-service.db*"):
        file.rename(file.with_name(file.name.removeprefix("renamed-")))


# -- locked, full -----------------------------------------------------------------------------------------------------


def test_a_lock_that_lasts_too_long_is_busy_and_passes(sqlite_url, sqlite_store):
    with locked(sqlite_url), pytest.raises(StoreBusy, match="the database is locked by another process"):
        do(sqlite_store, RecordEvents([event()]))
    assert do(sqlite_store, RecordEvents([event()])) == ["stored"]


def test_a_short_lock_is_waited_for(sqlite_url):
    writer = Writer(sqlite_url, busy_timeout=5.0)
    with locked(sqlite_url):
        future = writer.submit(RecordEvents([event()]))
        time.sleep(0.2)
        assert not future.done()
    assert future.result(timeout=10) == ["stored"]
    writer.close()


def test_reads_go_on_while_another_process_writes(sqlite_url, sqlite_store):
    do(sqlite_store, RecordEvents([event("ann")]))
    with locked(sqlite_url):
        assert sqlite_store.histories.history("ann").item_ids == ("i1",)
        assert sqlite_store.hidden_items.hidden().item_ids == frozenset()


def test_a_full_disk_is_reported_and_nothing_of_the_commit_is_kept(sqlite_url, sqlite_store):
    do(sqlite_store, RecordEvents([event("ann")]))
    with sqlite_store.writer._engine.connect() as connection:  # the writer's one pooled connection
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    big = [event(f"u{i}", context={"x": "y" * 500}) for i in range(400)]
    with pytest.raises(StoreFull, match="no space is left on its disk"):
        do(sqlite_store, RecordEvents(big))
    with sqlite_store.writer._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    assert count(sqlite_url, UserInteraction) == 1
    assert do(sqlite_store, RecordEvents(big)) == ["stored"] * 400
    backup.verify(sqlite_url)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("55P03", StoreBusy),
        ("57014", StoreBusy),
        ("40P01", StoreBusy),
        ("53300", StoreBusy),
        ("53100", StoreFull),
        ("42P01", SchemaMismatch),
        ("08006", StoreUnavailable),
    ],
)
def test_what_postgresql_says_is_understood_by_its_code(postgres_like_url, state, kind):
    error = RuntimeError("something\nwith more lines")
    error.sqlstate = state
    assert isinstance(to_store_error(error, postgres_like_url), kind)


@pytest.fixture
def postgres_like_url():
    return parse_url("postgresql://me:secret@127.0.0.1:1/none")


def test_a_server_that_does_not_answer_is_unavailable_and_not_tried_by_every_request(postgres_like_url, data, tmp_path):
    store = Store(postgres_like_url, data, settings_for(postgres_like_url, tmp_path), Metrics())
    with pytest.raises(StoreUnavailable, match="the database cannot be reached") as caught:
        store.histories.history("ann")
    assert "secret" not in str(caught.value)
    for _ in range(100):
        with pytest.raises(StoreUnavailable, match="it did not answer a moment ago"):
            store.histories.history("ann")
    wait_until(lambda: store.health() == "unavailable")  # checked in the background
    store.close()


# -- unavailable ------------------------------------------------------------------------------------------------------


def test_a_file_that_was_moved_is_unavailable_and_found_again_when_it_is_back(sqlite_url, sqlite_store):
    do(sqlite_store, RecordEvents([event("ann")]))
    assert sqlite_store.health() == "ready"
    rename_database(sqlite_url)
    for read in (lambda: sqlite_store.histories.history("ann"), sqlite_store.hidden_items.hidden):
        with pytest.raises(StoreUnavailable, match="there is no such file"):
            read()
    with pytest.raises(StoreUnavailable, match="there is no such file"):
        do(sqlite_store, RecordEvents([event("ann")]))
    assert sqlite_store.health() == "unavailable"
    assert not sqlite_path(sqlite_url).exists()  # and none was made by accident
    restore_name(sqlite_url)
    assert sqlite_store.histories.history("ann").item_ids == ("i1",)
    assert do(sqlite_store, RecordEvents([event("ann")])) == ["stored"]
    assert sqlite_store.health() == "ready"
    assert count(sqlite_url, UserInteraction) == 2


def test_what_was_last_known_is_there_while_the_database_is_unavailable(sqlite_url, sqlite_store):
    do(sqlite_store, RecordEvents([event("ann")]))
    do(sqlite_store, PutProfile("bob", role=None, categories=(), opted_out=True))
    do(sqlite_store, IngestItems([NewItem("film")]))
    do(sqlite_store, ChangeItem("film", {"hidden": True}))
    known = sqlite_store.histories.history("ann")
    assert sqlite_store.health() == "ready"  # reads what is hidden and who opted out
    rename_database(sqlite_url)
    assert sqlite_store.histories.last_known("ann") == known
    assert not sqlite_store.histories.last_known("bob").personal
    assert sqlite_store.histories.last_known("unknown") == NO_HISTORY
    assert sqlite_store.hidden_items.last.item_ids == {"film"}
    restore_name(sqlite_url)


def test_a_file_that_is_no_database_is_corrupt(sqlite_url, sqlite_store):
    sqlite_path(sqlite_url).write_bytes(b"nonsense" * 4096)
    with pytest.raises(StoreCorrupt, match="it is not a valid database"):
        do(sqlite_store, RecordEvents([event()]))


def test_the_service_starts_and_answers_while_its_database_is_unavailable(tmp_path):
    settings = settings_for_url("postgresql://me@127.0.0.1:1/none", tmp_path)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        assert client.get("/health/live").status_code == 200
        response = client.post("/api/interactions", json=CLICK)
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert "retry-after" in response.headers


def settings_for_url(url, folder):
    return settings_for(parse_url(url), folder)


def test_a_schema_of_another_revision_stops_the_start(sqlite_url, tmp_path):
    with open_tool_engine(sqlite_url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaMismatch, match="it is newer than this code"):
        Store.open(settings_for(sqlite_url, tmp_path), Metrics())


def test_a_sqlite_file_of_an_older_revision_is_backed_up_and_upgraded_at_the_start(sqlite_url, tmp_path):
    migrate.downgrade(sqlite_url, "0001", with_backup=False)
    store = Store.open(settings_for(sqlite_url, tmp_path), Metrics())
    assert do(store, RecordEvents([event("ann")])) == ["stored"]
    store.close()
    (kept,) = (tmp_path / "backups").iterdir()
    assert backup.verify_file(kept).revision == "0001"


def test_workers_that_start_at_once_upgrade_an_older_file_once(sqlite_url, tmp_path):
    migrate.downgrade(sqlite_url, "0001", with_backup=False)
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(lambda _: Store.open(settings_for(sqlite_url, tmp_path), Metrics()), range(4)))
    for i, store in enumerate(stores):
        assert do(store, RecordEvents([event(f"u{i}")])) == ["stored"]
        store.close()
    assert len(list((tmp_path / "backups").iterdir())) == 1


def test_a_postgresql_database_of_an_older_revision_stops_the_start(postgres_url, tmp_path):
    migrate.downgrade(postgres_url, "0001", with_backup=False)
    try:
        with pytest.raises(SchemaMismatch, match="Run python -m serving.store upgrade"):
            Store.open(settings_for(postgres_url, tmp_path), Metrics())
    finally:
        migrate.upgrade(postgres_url, with_backup=False)


def test_an_older_file_that_cannot_be_upgraded_stops_the_start_and_stays_as_it_was(sqlite_url, tmp_path):
    migrate.downgrade(sqlite_url, "0001", with_backup=False)
    path = sqlite_path(sqlite_url)
    with closing(sqlite3.connect(path)) as strange:  # in the way of the table that the migration makes
        strange.execute("CREATE TABLE item_exposures (mine INTEGER)")
    with pytest.raises(SchemaMismatch, match="table item_exposures already exists"):
        Store.open(settings_for(sqlite_url, tmp_path), Metrics())
    assert backup.verify(sqlite_url).revision == "0001"


def test_an_invalid_url_stops_the_start(tmp_path):
    with pytest.raises(ConfigError, match="the service keeps its data in a SQLite file or in PostgreSQL"):
        Store.open(ServingSettings(database_url="oracle://x", bundle_dir=tmp_path), Metrics())


def test_the_first_start_makes_the_database(tmp_path):
    settings = settings_for(parse_url(f"sqlite:///{tmp_path}/new/service.db"), tmp_path)
    store = Store.open(settings, Metrics())
    assert store.health() == "ready"
    store.close()


def test_workers_that_start_at_once_make_one_database(tmp_path):
    settings = settings_for_url(f"sqlite:///{tmp_path}/new/service.db", tmp_path)
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(lambda _: Store.open(settings, Metrics()), range(4)))
    for i, store in enumerate(stores):
        assert do(store, RecordEvents([event(f"u{i}")])) == ["stored"]
    for store in stores:
        store.close()
    assert count(stores[0].url, UserInteraction) == 4


def test_stopping_while_the_database_is_unavailable_ends_and_counts_what_is_lost(sqlite_url, sqlite_store):
    do(sqlite_store, RecordEvents([event()]))
    rename_database(sqlite_url)
    sqlite_store.impressions.record(Impression("r", "ann", ("film",), (1.0,), (1.0,), "als", "7", 1))
    sqlite_store.close()
    assert sqlite_store.metrics.impressions.labels("dropped")._value.get() == 1
    restore_name(sqlite_url)


# -- over HTTP --------------------------------------------------------------------------------------------------------


def test_a_write_to_a_locked_database_is_a_503_with_retry_after_and_works_later(sqlite_url, tmp_path):
    app = create_app(settings_for(sqlite_url, tmp_path))
    with TestClient(app, raise_server_exceptions=False) as client:
        app.state.store.writer._engine.dispose()
        app.state.store.writer = Writer(sqlite_url, busy_timeout=0.1)
        with locked(sqlite_url):
            response = client.post("/api/interactions", json=CLICK)
        assert response.status_code == 503
        assert response.json()["detail"].endswith("the database is locked by another process. Try again in a moment.")
        assert int(response.headers["retry-after"]) >= 1
        assert client.post("/api/interactions", json=CLICK).status_code == 201
        app.state.store.writer.close()


def test_reads_and_writes_of_the_service_find_the_database_again(sqlite_url, client):
    assert client.post("/api/interactions", json=CLICK).status_code == 201
    rename_database(sqlite_url)
    for method, path, body in (
        ("POST", "/api/interactions", CLICK),
        ("GET", "/api/users/ann/history", None),
        ("GET", "/api/items/film/stats", None),
        ("PUT", "/api/users/ann/profile", {}),
    ):
        response = client.request(method, path, json=body)
        assert (path, response.status_code) == (path, 503)
        assert response.headers["content-type"] == "application/problem+json"
        assert "retry-after" in response.headers
    restore_name(sqlite_url)
    assert client.post("/api/interactions", json=CLICK).status_code == 201
    assert client.get("/api/items/film/stats").json()["counts"] == {"click": 2}


def test_two_processes_write_to_one_file_without_losing_anything(sqlite_url):
    writers = [Writer(sqlite_url, busy_timeout=20.0) for _ in range(2)]

    def write(writer, place):
        for i in range(40):
            writer.submit(RecordEvents([event(f"u{i}", idempotency_key=f"{place}/{i}")])).result(timeout=30)

    threads = [threading.Thread(target=write, args=(writer, i)) for i, writer in enumerate(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close()
    assert count(sqlite_url, UserInteraction) == 80


def test_slow_queries_are_counted_and_logged_without_user_ids(sqlite_url, data, tmp_path, caplog):
    settings = settings_for(sqlite_url, tmp_path, slow_query_ms=0.000001)
    store = Store(sqlite_url, data, settings, Metrics())
    with caplog.at_level("WARNING", logger="serving.store"):
        store.histories.history("secret-user")
        store.writer.submit(RecordEvents([event()])).result()
        wait_until(lambda: any(record.query == "commit" for record in caplog.records))
    assert store.metrics.slow_queries.labels("user")._value.get() == 1
    assert any(record.query == "user" for record in caplog.records)
    assert "secret-user" not in caplog.text
    assert store.metrics.slow_queries.labels("commit")._value.get() == 1
    store.close()


# -- a table that is missing, an error that is shown ------------------------------------------------------------------


@pytest.mark.parametrize("table", sorted(Table.metadata.tables))
def test_without_a_table_lists_come_all_the_same_and_everything_else_is_a_problem(sqlite_url, tmp_path, table):
    with TestClient(create_app(settings_for(sqlite_url, tmp_path)), raise_server_exceptions=False) as client:
        assert client.post("/api/interactions", json=CLICK).status_code == 201
        client.app.state.service.fallback.step()
        with closing(sqlite3.connect(sqlite_path(sqlite_url))) as connection:
            connection.execute(f"DROP TABLE {table}")
        for user_id in ("ann", "bob", "cold"):
            answer = client.get("/api/recommendations", params={"user_id": user_id, "exclude_seen": False})
            assert answer.status_code == 200, answer.text
            assert [one["item_id"] for one in answer.json()["items"]] == ["film"]
        for method, path, body in (
            ("POST", "/api/predict", {"user_id": "ann", "item_ids": ["film"]}),
            ("POST", "/api/interactions", CLICK),
            ("POST", "/api/recommendations/feedback", {"request_id": "r", "outcomes": [OUTCOME]}),
            ("POST", "/api/items", {"item_id": "book", "categories": ["drama"]}),
            ("PATCH", "/api/items/film", {"title": "x"}),
            ("GET", "/api/items/film", None),
            ("GET", "/api/items/film/stats", None),
            ("GET", "/api/items/film/recommended-users?role=editor", None),
            ("GET", "/api/users/ann/history", None),
            ("GET", "/api/users/ann/profile", None),
            ("PUT", "/api/users/ann/profile", {}),
            ("DELETE", "/api/users/ann", None),
            ("GET", "/api/model", None),
            ("GET", "/health/ready", None),
        ):
            answer = client.request(method, path, json=body)
            assert answer.status_code < 300 or answer.status_code in (404, 503), (method, path, answer.text)


def test_an_error_of_the_database_does_not_repeat_the_parameters(url):
    with open_tool_engine(url).connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text("SELECT * FROM nowhere WHERE a = :a"), {"a": "a-private-user"})
    assert "nowhere" in str(caught.value)
    assert "a-private-user" not in str(caught.value)
