"""A database for each test: SQLite always, PostgreSQL where RECSTAGE_TEST_POSTGRES_URL names one to be emptied."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.engine import URL

from recstage import config
from recstage.config import DataConfig
from serving.app import create_app
from serving.monitoring.metrics import Metrics
from serving.store.admin import migrate
from serving.store.db.connection import open_tool_engine, parse_url
from serving.store.db.tables import Table
from serving.store.store import Store
from tests.serving.store.databases import empty_postgres, worker_postgres
from tests.serving.store.factories import settings_for

POSTGRES_VARIABLE = "RECSTAGE_TEST_POSTGRES_URL"


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database without rows, to copy."""
    path = tmp_path_factory.mktemp("empty") / "service.db"
    migrate.upgrade(parse_url(f"sqlite:///{path}"))
    return path


@pytest.fixture
def sqlite_url(empty_file: Path, tmp_path: Path) -> URL:
    """A fresh SQLite database."""
    path = tmp_path / "service.db"
    shutil.copy(empty_file, path)
    return parse_url(f"sqlite:///{path}")


@pytest.fixture(scope="session")
def upgraded_postgres() -> URL:
    """The PostgreSQL database for tests, with the newest schema."""
    named = os.environ.get(POSTGRES_VARIABLE)
    if not named:
        pytest.skip(f"{POSTGRES_VARIABLE} is not set: there is no PostgreSQL to try this on")
    url = worker_postgres(parse_url(named), os.environ.get("PYTEST_XDIST_WORKER", ""))
    empty_postgres(url)
    migrate.upgrade(url)
    return url


@pytest.fixture
def postgres_url(upgraded_postgres: URL) -> URL:
    """The PostgreSQL database without rows."""
    names = ", ".join(name for name in Table.metadata.tables if name not in ("counters", "secrets"))
    with open_tool_engine(upgraded_postgres).begin() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
        connection.execute(text("UPDATE counters SET value = 0"))
    return upgraded_postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> URL:
    """Each database in turn."""
    found: URL = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return found


@pytest.fixture(scope="session")
def data() -> DataConfig:
    """The data set whose weights live events get."""
    found: DataConfig = config.check(DataConfig, config.named_yaml("data", "service"), "service")
    return found


@pytest.fixture
def open_store(url: URL, data: DataConfig, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens stores on the same database, as several processes would; closed at the end."""
    opened: list[Store] = []

    def make(*, busy_timeout: float = 2.0, **values: Any) -> Store:
        opened.append(Store(url, data, settings_for(url, tmp_path, **values), Metrics(), busy_timeout=busy_timeout))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def store(open_store: Callable[..., Store]) -> Store:
    return open_store()


@pytest.fixture
def do(store: Store) -> Callable[[Any], Any]:
    """Runs a task of the writer to its end."""
    return lambda task: store.writer.submit(task).result(timeout=20)


@pytest.fixture
def client(sqlite_url: URL, tmp_path: Path) -> Iterator[TestClient]:
    """A service on a fresh SQLite database, without a registry."""
    app = create_app(settings_for(sqlite_url, tmp_path))
    with TestClient(app, raise_server_exceptions=False) as found:
        yield found
