"""A registry database that is replaced under a running service is noticed: the sync process opens it anew."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from recstage.tracking import database_identity
from serving.models import registry_sync
from serving.models.registry_sync import RESTART, RegistryDatabase
from serving.models.repository import BundleRepository


def database(path: Path, revision: str = "1") -> str:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
    connection.close()
    return f"sqlite:///{path}"


def test_a_file_that_was_renamed_into_its_place_is_another(tmp_path):
    uri = database(tmp_path / "mlflow.db")
    watched = RegistryDatabase(lambda: database_identity(uri))
    assert not watched.replaced()
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "backup.db")
    (tmp_path / "backup.db").rename(tmp_path / "mlflow.db")
    assert watched.replaced()


def test_a_schema_that_was_migrated_is_another(tmp_path):
    uri = database(tmp_path / "mlflow.db")
    watched = RegistryDatabase(lambda: database_identity(uri))
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '2'")
    connection.close()
    assert watched.replaced()


def test_writes_do_not_make_it_another_and_a_missing_file_is_waited_for(tmp_path):
    uri = database(tmp_path / "mlflow.db")
    watched = RegistryDatabase(lambda: database_identity(uri))
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("CREATE TABLE versions (number INTEGER)")
    connection.close()
    assert not watched.replaced()
    (tmp_path / "mlflow.db").rename(tmp_path / "away.db")
    assert not watched.replaced()
    (tmp_path / "away.db").rename(tmp_path / "mlflow.db")
    assert not watched.replaced()


def test_a_database_that_appears_later_is_the_one_to_know(tmp_path):
    watched = RegistryDatabase(lambda: database_identity(f"sqlite:///{tmp_path}/mlflow.db"))
    database(tmp_path / "mlflow.db")
    assert not watched.replaced()


def test_what_is_no_sqlite_file_is_never_another():
    assert database_identity("http://127.0.0.1:5000") is None


def test_the_process_ends_with_the_status_that_has_it_started_anew(tmp_path, monkeypatch):
    polls = []
    identities = iter([("a",), ("a",), ("b",)])
    monkeypatch.setattr(registry_sync, "RegistryDatabase", lambda: RegistryDatabase(lambda: next(identities)))
    monkeypatch.setattr(registry_sync.RegistrySync, "poll", lambda self: polls.append(1))
    monkeypatch.setattr(registry_sync, "_end_with_parent", lambda ended: None)
    BundleRepository(tmp_path, "recommender").prepare()
    assert registry_sync.main([str(tmp_path), "0.01", "recommender"]) == RESTART
    assert polls == [1, 1]  # Production, and Staging
