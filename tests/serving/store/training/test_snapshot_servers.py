"""Snapshots of real servers: of a replica that has caught up, and of a primary that restarts in the middle."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import text

from recstage.config import ServiceSource
from recstage.data.snapshots import extraction, replica
from recstage.data.snapshots.connection import URL_VARIABLE, connected
from recstage.errors import StoreError
from serving.store.admin import migrate
from serving.store.db.connection import parse_url
from tests import postgres_servers
from tests.serving.store.factories import event, record

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def servers():
    with postgres_servers.primary("recstage") as first, postgres_servers.replica(first) as second:
        migrate.upgrade(parse_url(first.url()), with_backup=False)
        yield first, second


@pytest.fixture
def source(servers, monkeypatch):
    first, second = servers
    monkeypatch.setenv(URL_VARIABLE, first.url())
    monkeypatch.setenv(replica.URL_VARIABLE, second.url())
    return ServiceSource()


def of_the_replica(source) -> bool:
    with connected(source) as connection:
        return bool(connection.execute(text("SELECT pg_is_in_recovery()")).scalar())


def test_a_snapshot_is_read_from_the_replica_and_holds_what_was_written_before(servers, source, tmp_path):
    record(parse_url(servers[0].url()), *(event(f"u{n}") for n in range(20)))
    assert of_the_replica(source)
    assert extraction.about(extraction.take(source, tmp_path)).events == 20
    with connected(source, primary=True) as connection:
        assert not connection.execute(text("SELECT pg_is_in_recovery()")).scalar()


def test_a_replica_that_stays_behind_is_not_read_and_the_log_says_so(servers, source, monkeypatch, caplog):
    first, second = servers
    monkeypatch.setattr(replica, "CATCH_UP_SECONDS", 0.3)
    second.execute("SELECT pg_wal_replay_pause()")
    try:
        record(parse_url(first.url()), event("ann"))
        with caplog.at_level(logging.WARNING):
            assert not of_the_replica(source)
    finally:
        second.execute("SELECT pg_wal_replay_resume()")
    assert [one.getMessage() for one in caplog.records if "replica" in one.getMessage()] == [
        "the read replica is not read, but the primary: it stayed behind for 0 seconds"
    ]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://me@127.0.0.1:1/none", "it cannot be compared with the primary"),
        ("no url", "its URL is none"),
        (None, "it follows no primary"),
    ],
)
def test_what_is_no_replica_is_not_read(servers, source, monkeypatch, caplog, url, why):
    monkeypatch.setenv(replica.URL_VARIABLE, url or servers[0].url())
    with caplog.at_level(logging.WARNING):
        assert not of_the_replica(source)
    assert why in caplog.text


def test_a_server_that_restarts_in_the_middle_is_one_line_and_leaves_nothing_half_done(
    servers, source, monkeypatch, tmp_path
):
    first, _ = servers
    monkeypatch.delenv(replica.URL_VARIABLE)
    read = extraction._streamed

    def interrupted(connection, query, what, **given):
        if what == "shown lists":
            first.restart()
        return read(connection, query, what, **given)

    with monkeypatch.context() as patch:
        patch.setattr(extraction, "_streamed", interrupted)
        with pytest.raises(StoreError, match="the server ended the connection in the middle .* do the same again"):
            extraction.take(source, tmp_path)
    assert list(tmp_path.iterdir()) == []
    folder = extraction.take(source, tmp_path)
    assert extraction.about(folder).users > 0
