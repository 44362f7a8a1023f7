"""A process and its database that disagree, on the tables or on the time: told, and told no more once they agree."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text

from serving.store.admin import agreement, revision
from serving.store.admin.agreement import Agreement
from serving.store.db.connection import open_tool_engine, sqlite_path
from tests.serving.store.factories import settings_for


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(agreement, "LOOK_SECONDS", 0.0)


def set_revision(url, number: str) -> None:
    with open_tool_engine(url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :number"), {"number": number})


@pytest.mark.parametrize("other", ["9999", "0001"])
def test_tables_that_another_version_of_the_code_changed_are_told(url, store, other):
    assert store.troubles() == {}
    set_revision(url, other)
    try:
        expected = f"it is at revision {other}, and this code needs {revision.newest()}"
        assert store.troubles() == {"revision": expected}
    finally:
        set_revision(url, revision.newest())
    assert store.troubles() == {}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(90.0, "this host is 90 seconds ahead"), (-3600.0, "this host is 3600 seconds behind"), (2.0, None)],
)
def test_a_clock_that_differs_from_that_of_the_server_is_told(url, store, seconds, said):
    found = Agreement(store.reader, clock=lambda: time.time() + seconds).troubles()
    if sqlite_path(url) is not None:
        said = None  # a file has no clock
    assert found == ({} if said is None else {"clock": said})


def test_a_database_that_does_not_answer_is_told_elsewhere(store, monkeypatch):
    monkeypatch.setattr(store.reader, "rows", lambda *_: (_ for _ in ()).throw(unavailable()))
    assert Agreement(store.reader).troubles() == {}


def unavailable():
    from serving.store.db.errors import StoreUnavailable

    return StoreUnavailable("the database", rule="it does not answer", fix="Start it")


def test_the_service_shows_them_as_conditions_and_goes_on(sqlite_url, tmp_path):
    from fastapi.testclient import TestClient

    from serving.app import create_app

    with TestClient(create_app(settings_for(sqlite_url, tmp_path))) as client:
        set_revision(sqlite_url, "9999")
        event = {"user_id": "ann", "item_id": "film", "interaction_type": "click"}
        assert client.post("/api/interactions", json=event).status_code == 201
        shown = client.get("/api/operations").json()
        (told,) = [one for one in shown["conditions"] if one["name"] == "revision-differs"]
        assert told["text"].endswith(f"it is at revision 9999, and this code needs {revision.newest()}")
