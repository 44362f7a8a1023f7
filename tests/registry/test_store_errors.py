"""A registry that is locked, read-only, broken or out of reach ends in one clear line."""

from __future__ import annotations

import sqlite3

import pytest
from filelock import FileLock
from sqlalchemy import event
from sqlalchemy.engine import Engine

from recstage import registry
from recstage.errors import StoreError
from recstage.registry import mlflow_client


@pytest.fixture
def refuse(monkeypatch):
    """Let the database refuse every write with these words."""
    listeners = []

    def begin(words: str) -> None:
        def refusing(_connection, _cursor, statement, *_):
            if statement.startswith(("UPDATE", "INSERT", "DELETE")):
                raise sqlite3.OperationalError(words)

        event.listen(Engine, "before_cursor_execute", refusing)
        listeners.append(refusing)

    yield begin
    for one in listeners:
        event.remove(Engine, "before_cursor_execute", one)


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("database is locked", "the database is locked by another process"),
        ("database or disk is full", "the disk is full"),
        ("attempt to write a readonly database", "the database is read-only"),
    ],
)
def test_a_database_that_refuses_is_one_clear_line(registry_driver, refuse, capfd, words, rule):
    registry_driver.add()
    refuse(words)
    with pytest.raises(StoreError, match=rf"sqlite:///.*mlflow\.db: {rule}"):
        registry.set_production("recommender", 1, how="promote", by="ada")
    assert "Traceback" not in capfd.readouterr().err


def test_after_a_refusal_everything_goes_on(registry_driver, refuse):
    registry_driver.add()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            mlflow_client, "stage", lambda *_: (_ for _ in ()).throw(StoreError("x", rule="locked", fix="wait"))
        )
        with pytest.raises(StoreError):
            registry.set_production("recommender", 1, how="promote", by="ada")
    registry.set_production("recommender", 1, how="promote", by="ada")
    assert registry_driver.staged == [1]


def test_a_server_that_does_not_answer_is_one_clear_line(registry_driver, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:9: the MLflow server does not answer"):
        registry.reconcile()


def test_a_change_that_another_process_holds_up_is_one_clear_line(registry_driver, monkeypatch):
    registry_driver.add()
    monkeypatch.setattr(mlflow_client, "PATIENCE_SECONDS", 0.05)
    with mlflow_client.lock("recommender"):
        path = next(registry_driver.folder.glob("mlflow.db.*.lock"))
    with FileLock(path), pytest.raises(StoreError, match="'recommender': another process has been changing it"):
        registry.set_production("recommender", 1, how="promote", by="ada")


def test_the_lock_does_not_depend_on_how_the_database_is_spelt(tmp_path):
    (tmp_path / "sub").mkdir()
    spelt = [f"sqlite:///{tmp_path}/mlflow.db", f"sqlite:///{tmp_path}/sub/../mlflow.db"]
    assert len({mlflow_client._lock_file(uri, "recommender") for uri in spelt}) == 1
    assert mlflow_client._lock_file(spelt[0], "recommender") != mlflow_client._lock_file(spelt[0], "item-classifier")
