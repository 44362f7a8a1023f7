"""Databases of the tests of the store: how they are emptied, counted and locked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from sqlalchemy import create_engine, func, select, text
from sqlalchemy.engine import URL

from serving.store.db.connection import connect_sqlite, open_tool_engine, sqlite_path
from serving.store.db.tables import ItemExposure, Table


def worker_postgres(url: URL, worker: str) -> URL:
    """The database of one pytest-xdist worker, created where it is missing; without workers, `url`."""
    if not worker:
        return url
    name = f"{url.database}_{worker}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if not connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}):
            connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return url.set(database=name)


def empty_postgres(url: URL) -> None:
    """Drop every table."""
    engine = open_tool_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP VIEW IF EXISTS shown_items"))
        Table.metadata.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))


def count(url: URL, table: type[Table]) -> int:
    """Rows of a table."""
    with open_tool_engine(url).connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def exposures(url: URL) -> dict[str, int]:
    """The stored number of impressions of each item."""
    with open_tool_engine(url).connect() as connection:
        return dict(connection.execute(select(ItemExposure.item_id, ItemExposure.shown)).all())  # type: ignore[arg-type]


@contextmanager
def locked(url: URL) -> Iterator[None]:
    """While another process writes to the SQLite file."""
    path = sqlite_path(url)
    assert path is not None
    with closing(connect_sqlite(path, 5.0)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
