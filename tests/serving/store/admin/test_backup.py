"""Backups: complete, verified, taken while others write; and what verification finds."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing

import pytest

from recstage.errors import ExternalToolError, StoreError
from serving.store import __main__ as command
from serving.store.admin import backup, migrate
from serving.store.db.connection import parse_url, sqlite_path
from serving.store.db.errors import StoreCorrupt, StoreFull
from serving.store.db.tables import UserInteraction
from tests.serving.store.databases import count, locked
from tests.serving.store.factories import record_users


def test_a_sqlite_backup_is_one_file_taken_while_others_write(sqlite_url, tmp_path):
    record_users(sqlite_url)
    with locked(sqlite_url):
        backup.back_up(sqlite_url, tmp_path / "kept" / "b.db")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["b.db"]
    assert backup.verify_file(tmp_path / "kept" / "b.db").rows["users"] == 3


def test_a_row_that_points_nowhere_is_found(sqlite_url):
    record_users(sqlite_url)
    with closing(sqlite3.connect(sqlite_path(sqlite_url))) as plain:
        plain.execute("DELETE FROM users WHERE user_id = 'u1'")
        plain.commit()
    with pytest.raises(StoreCorrupt, match="a row of user_interactions points to a missing row of users"):
        backup.verify(sqlite_url)


def test_a_backup_never_overwrites(sqlite_url, tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(StoreError, match="a backup never overwrites a file"):
        backup.back_up(sqlite_url, tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_backup_that_finds_no_space_leaves_nothing_half_written(sqlite_url, tmp_path, monkeypatch):
    record_users(sqlite_url)

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(backup, "_flush", full)
    with pytest.raises(StoreFull, match=r"no space is left on its disk\. Free some space, then try again"):
        backup.back_up(sqlite_url, tmp_path / "kept" / "b.db")
    assert list((tmp_path / "kept").iterdir()) == []


# -- the programs of PostgreSQL ---------------------------------------------------------------------------------------


POSTGRES = parse_url("postgresql://me:secret@127.0.0.1:1/none")


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a program of PostgreSQL first on the path, which writes `message` to stderr and fails."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(name: str, message: str) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\necho '{message}' >&2\nexit 1\n")
        path.chmod(0o755)

    return write


def test_a_program_that_is_not_installed_is_no_fault_of_the_database(tmp_path, program):
    with pytest.raises(ExternalToolError, match=r"^pg_dump: .* is not installed\. Install postgresql-client"):
        backup.back_up(POSTGRES, tmp_path / "kept.dump")


def test_a_program_that_fails_is_reported_without_the_password(tmp_path, program):
    program("pg_dump", "server version mismatch")
    with pytest.raises(ExternalToolError, match=r"pg_dump failed \(server version mismatch\)") as caught:
        backup.back_up(POSTGRES, tmp_path / "kept.dump")
    assert "secret" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["programs"]


def test_a_program_that_finds_no_space_is_a_full_disk(tmp_path, program):
    program("pg_dump", "could not write to output file: No space left on device")
    with pytest.raises(StoreFull, match=r"no space is left on its disk\. Free some space, then try again"):
        backup.back_up(POSTGRES, tmp_path / "kept.dump")


def test_a_failed_program_ends_the_command_with_one_line_and_status_1(tmp_path, program, monkeypatch, capsys):
    program("pg_dump", "server version mismatch")
    url = POSTGRES.render_as_string(hide_password=False)
    assert command.main(["backup", str(tmp_path / "kept.dump"), "--url", url]) == 1
    complaint = capsys.readouterr().err
    assert "pg_dump failed (server version mismatch). Correct that, then try again." in complaint
    assert complaint.count("\n") == 1


def test_an_upgrade_whose_backup_fails_changes_nothing(postgres_url, program, tmp_path):
    migrate.downgrade(postgres_url, "0001", with_backup=False)
    program("pg_dump", "server version mismatch")
    try:
        with pytest.raises(ExternalToolError, match="pg_dump failed"):
            migrate.upgrade(postgres_url, to=tmp_path / "kept.dump")
        assert backup.verify(postgres_url).revision == "0001"
    finally:
        migrate.upgrade(postgres_url, with_backup=False)


def test_a_damaged_postgres_backup_is_corrupt_and_nothing_is_restored(postgres_url, tmp_path):
    record_users(postgres_url)
    (tmp_path / "damaged.dump").write_bytes(b"nonsense" * 100)
    with pytest.raises(StoreCorrupt, match="pg_restore failed"):
        backup.restore(postgres_url, tmp_path / "damaged.dump")
    assert count(postgres_url, UserInteraction) == 3
