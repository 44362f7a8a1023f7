"""What the tests of the store are given: events, settings, a lock that somebody else holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, func, select, text
from sqlalchemy.engine import URL

from serving.models.repository import ProductionVersion
from serving.settings import ServingSettings
from serving.store.db.connection import connect_sqlite, open_tool_engine, sqlite_path
from serving.store.db.tables import ItemExposure, Table
from serving.store.repositories.events import Event, now_ms


def event(user_id: str = "u1", item_id: str = "i1", interaction_type: str = "click", **values: Any) -> Event:
    """An event that happened now, unless told."""
    now = now_ms()
    return Event(user_id, item_id, interaction_type, values.pop("occurred_at", now), now, **values)


def wait_until(holds: Callable[[], Any], seconds: float = 10.0) -> None:
    """Until something that happens in the background has happened."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def settings_for(url: URL, folder: Path, **values: Any) -> ServingSettings:
    """Settings of a service on this database, without a registry."""
    return ServingSettings(
        **{
            "database_url": url.render_as_string(hide_password=False),
            "bundle_dir": folder / "bundles",
            "follow_registry": False,
            **values,
        }
    )


def own_postgres(url: URL, worker: str) -> URL:
    """The database of one worker of several that test at once, made where it is missing; without workers, `url`."""
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
    """How many lists hold each item, as it is kept."""
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


class Fixed:
    """A `ProductionPointer` to one version, or to none."""

    def __init__(self, staged: ProductionVersion | None = None) -> None:
        self.staged = staged

    def production(self) -> ProductionVersion | None:
        return self.staged

    def good(self) -> ProductionVersion | None:
        return None

    def mark_good(self, staged: ProductionVersion) -> None:
        pass

    def drop(self, version: str) -> None:
        pass

    def last_poll(self) -> None:
        return None

    def request_poll(self) -> None:
        pass

    def poll_requested_at(self) -> int:
        return 0
