"""Restoring a backup: what it brings back, keeps and refuses."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import text

from serving.store.admin import backup
from serving.store.db.connection import sqlite_path
from serving.store.db.errors import SchemaMismatch, StoreCorrupt
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import UserInteraction
from tests.serving.store.databases import count
from tests.serving.store.factories import event, record, record_users

COUNT = Query("count", text("SELECT count(*) FROM users"))


def test_a_backup_holds_everything_and_a_restore_brings_it_back(url, tmp_path):
    record_users(url)
    file = tmp_path / "kept"
    assert backup.back_up(url, file).rows["user_interactions"] == 3
    record(url, event("later"))
    assert count(url, UserInteraction) == 4
    assert backup.restore(url, file).rows["user_interactions"] == 3
    assert count(url, UserInteraction) == 3


def test_readers_that_are_open_see_what_was_restored(sqlite_url, tmp_path):
    record_users(sqlite_url)
    backup.back_up(sqlite_url, tmp_path / "b.db")
    reader = Reader(sqlite_url)
    record_users(sqlite_url, 5)
    assert reader.rows(COUNT) == [(5,)]
    backup.restore(sqlite_url, tmp_path / "b.db")
    assert reader.rows(COUNT) == [(3,)]
    reader.close()


def test_a_restore_keeps_a_broken_file_beside(sqlite_url, tmp_path):
    record_users(sqlite_url)
    backup.back_up(sqlite_url, tmp_path / "b.db")
    path = sqlite_path(sqlite_url)
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreCorrupt, match="it is not a valid database"):
        backup.verify(sqlite_url)
    assert backup.restore(sqlite_url, tmp_path / "b.db").rows["user_interactions"] == 3
    assert len(list(path.parent.glob("service.db.broken-*"))) == 1


def test_a_restore_refuses_a_damaged_or_foreign_backup_and_changes_nothing(sqlite_url, tmp_path):
    record_users(sqlite_url)
    good, damaged, foreign = tmp_path / "good.db", tmp_path / "damaged.db", tmp_path / "foreign.db"
    backup.back_up(sqlite_url, good)
    content = bytearray(good.read_bytes())
    content[8192 : 8192 + 4096 * 6] = b"\xff" * 4096 * 6
    damaged.write_bytes(content)
    with closing(sqlite3.connect(foreign)) as connected:
        connected.execute("CREATE TABLE cats (name TEXT)")
    with pytest.raises(StoreCorrupt):
        backup.restore(sqlite_url, damaged)
    with pytest.raises(SchemaMismatch, match="it is not a backup of the service's database"):
        backup.restore(sqlite_url, foreign)
    assert count(sqlite_url, UserInteraction) == 3
