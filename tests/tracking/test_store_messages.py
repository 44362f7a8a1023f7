"""Every message by which a store's error is recognised is one that its library really raises."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest
import requests
from alembic import command
from mlflow.store.db.utils import _get_alembic_config, _verify_schema
from sqlalchemy import create_engine

from recstage.errors import StoreError
from recstage.tracking.store import KNOWN_MESSAGES, translate_store_errors


def locked(folder: Path) -> None:
    holder = sqlite3.connect(folder / "a.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        sqlite3.connect(folder / "a.db", timeout=0).execute("CREATE TABLE t (x)")
    finally:
        holder.execute("ROLLBACK")


def full(folder: Path) -> None:
    database = sqlite3.connect(folder / "a.db")
    database.execute("CREATE TABLE t (x)")
    database.execute("PRAGMA max_page_count = 2")
    database.execute("INSERT INTO t VALUES (zeroblob(1000000))")


def no_space(folder: Path) -> None:
    raise RuntimeError("MLflow wraps it") from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def unopened(folder: Path) -> None:
    sqlite3.connect(folder / "absent" / "a.db")


def read_only(folder: Path) -> None:
    sqlite3.connect(folder / "a.db").execute("CREATE TABLE t (x)")
    sqlite3.connect(f"file:{folder / 'a.db'}?mode=ro", uri=True).execute("CREATE TABLE s (x)")


def no_server(folder: Path) -> None:
    requests.get("http://127.0.0.1:9", timeout=1)


def newer(folder: Path) -> None:
    uri = f"sqlite:///{folder / 'a.db'}"
    with sqlite3.connect(folder / "a.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES ('0123456789ab')")
    command.upgrade(_get_alembic_config(uri), "heads")


def older(folder: Path) -> None:
    with sqlite3.connect(folder / "a.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES ('451aebb31d03')")
    _verify_schema(create_engine(f"sqlite:///{folder / 'a.db'}"))


CAUSES = {
    "Can't locate revision identified by": newer,
    "Detected out-of-date database schema": older,
    "database is locked": locked,
    "database or disk is full": full,
    "No space left on device": no_space,
    "unable to open database file": unopened,
    "attempt to write a readonly database": read_only,
    "Max retries exceeded": no_server,
}


@pytest.mark.parametrize("message", KNOWN_MESSAGES)
def test_each_known_message_is_raised_by_its_cause_and_becomes_one_clear_line(message, tmp_path):
    rule, fix = KNOWN_MESSAGES[message]

    def wrapped() -> None:
        """As MLflow does: an exception of its own from the library's."""
        try:
            CAUSES[message](tmp_path)
        except Exception as error:
            raise RuntimeError("the store failed") from error

    with pytest.raises(StoreError) as caught, translate_store_errors("mlflow.db"):
        wrapped()
    assert str(caught.value) == f"mlflow.db: {rule}. {fix}."


def test_a_database_of_a_revision_that_this_mlflow_does_not_know_is_called_newer(tmp_path):
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES ('0123456789ab')")
    with pytest.raises(StoreError, match="made by a newer MLflow than the"), translate_store_errors("mlflow.db"):
        _verify_schema(create_engine(f"sqlite:///{tmp_path / 'a.db'}"))


def test_an_unknown_message_passes_on_unchanged():
    with pytest.raises(RuntimeError, match="something else"), translate_store_errors("mlflow.db"):
        raise RuntimeError("something else")
