"""A registry database that is replaced under a running service is noticed: the sync process opens it anew."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from recstage.tracking import database_file, database_identity
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


def test_a_file_that_is_gone_is_a_problem_and_not_a_poll_of_what_was_deleted(tmp_path, monkeypatch):
    uri = database(tmp_path / "mlflow.db")
    watched = RegistryDatabase(lambda: database_identity(uri), lambda: database_file(uri))
    assert not watched.missing()
    (tmp_path / "mlflow.db").rename(tmp_path / "away.db")
    assert watched.missing()
    monkeypatch.setattr(registry_sync, "RegistryDatabase", lambda: watched)
    monkeypatch.setattr(registry_sync.RegistrySync, "poll", lambda self: pytest.fail("it was polled"))
    monkeypatch.setattr(registry_sync, "_end_with_parent", lambda ended: None)

    def reported(sync, result) -> None:
        assert result.problem == registry_sync.MISSING
        shutil.copy(tmp_path / "away.db", tmp_path / "mlflow.db")

    monkeypatch.setattr(registry_sync.RegistrySync, "_report", reported)
    assert registry_sync.main([str(tmp_path / "bundles"), "0.01", "recommender"]) == RESTART


def test_a_version_of_the_same_number_in_another_registry_is_another(tmp_path):
    repository = BundleRepository(tmp_path, "recommender")
    repository.prepare()

    def fetch(folder: Path) -> Path:
        (folder / "bundle").mkdir()
        (folder / "bundle" / "manifest.json").write_text("{}")
        return folder / "bundle"

    assert not repository.holds("1", 1000)
    repository.put("1", fetch, lambda folder: None, 1000)
    assert repository.holds("1", 1000)
    assert not repository.holds("1", 2000)
    repository.put("1", fetch, lambda folder: None, 2000)
    assert (repository.holds("1", 1000), repository.holds("1", 2000)) == (False, True)


def test_a_bundle_of_an_older_installation_is_taken_for_the_version_of_its_number(tmp_path):
    repository = BundleRepository(tmp_path, "recommender")
    repository.prepare()
    (repository.versions / "1").mkdir()
    (repository.versions / "1" / "manifest.json").write_text("{}")
    assert repository.holds("1", 1000)
    repository.record_origin("1", 1000)
    assert not repository.holds("1", 2000)


def test_a_database_that_appears_later_is_the_one_to_know(tmp_path):
    watched = RegistryDatabase(lambda: database_identity(f"sqlite:///{tmp_path}/mlflow.db"))
    database(tmp_path / "mlflow.db")
    assert not watched.replaced()


def test_what_is_no_sqlite_file_is_never_another():
    assert database_identity("http://127.0.0.1:5000") is None


def test_the_process_ends_with_the_status_that_has_it_started_anew(tmp_path, monkeypatch):
    polls = []
    identities = iter([("a",), ("a",), ("b",)])
    monkeypatch.setattr(
        registry_sync, "RegistryDatabase", lambda: RegistryDatabase(lambda: next(identities), lambda: None)
    )
    monkeypatch.setattr(registry_sync.RegistrySync, "poll", lambda self: polls.append(1))
    monkeypatch.setattr(registry_sync, "_end_with_parent", lambda ended: None)
    BundleRepository(tmp_path, "recommender").prepare()
    assert registry_sync.main([str(tmp_path), "0.01", "recommender"]) == RESTART
    assert polls == [1, 1]  # Production, and Staging
