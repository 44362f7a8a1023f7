"""The service's database, opened for reading only, in one transaction: everything read in it is of one moment.

SQLite reads a moment of its write-ahead log, PostgreSQL one of `REPEATABLE READ`: neither keeps a writer waiting. Where
the service has a read replica, that is read, once it has all that the primary had when it was asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from recstage.config import ServiceSource, root
from recstage.data.snapshots import replica
from recstage.data.snapshots.id_digests import KeyedDigests
from recstage.errors import DataError, StoreError

URL_VARIABLE = "RECSTAGE_SERVING_DATABASE_URL"
DEFAULT_URL = "sqlite:///data/service.db"
CONNECT_SECONDS = 10
_KEY = text("SELECT value FROM secrets WHERE name = 'digests'")


@contextmanager
def connected(config: ServiceSource, *, primary: bool = False) -> Iterator[Connection]:
    """A connection within one transaction that writes nothing; `primary`: not to the read replica. Raises `DataError`
    on a URL that is none, `StoreError` where the database is away or has no such tables."""
    url = url_of(config)
    if not (primary or config.url):
        url = replica.caught_up_with(url) or url
    where = shown(url)
    try:
        with create_engine(_read_only(url), poolclass=NullPool).connect() as connection:
            if url.get_backend_name() == "sqlite":
                connection.exec_driver_sql("BEGIN")  # the driver begins none for a SELECT
            else:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection
    except ImportError as error:
        raise StoreError(
            where, rule="PostgreSQL is spoken through psycopg 3", fix="pip install 'psycopg[binary]'"
        ) from error
    except SQLAlchemyError as error:
        reason = (str(getattr(error, "orig", None) or error).strip().splitlines() or ["no reason given"])[0]
        if getattr(error, "connection_invalidated", False):
            raise StoreError(
                where,
                rule=f"the server ended the connection in the middle ({reason})",
                fix="Once it is back, do the same again: of the part that was read nothing is kept",
            ) from error
        raise StoreError(
            where,
            rule=f"the service's database cannot be read ({reason})",
            fix=f"Set {URL_VARIABLE} to it, and run python -m serving.store verify",
        ) from error


def digests(connection: Connection) -> KeyedDigests | None:
    """Digests under the database's own key; None where it has none."""
    key = connection.execute(_KEY).scalar()
    return None if key is None else KeyedDigests(bytes(key))


def url_of(config: ServiceSource) -> URL:
    """Where the database is. Raises `DataError` on a URL that is none, or that holds a password and would be logged."""
    given = config.url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    try:
        url = make_url(given)
    except ArgumentError as error:
        raise DataError(
            "source.url", rule="it is no database URL", fix="Give sqlite:///path or postgresql://user@host/name"
        ) from error
    if config.url and url.password:
        raise DataError(
            "source.url with a password",
            rule="a run's configuration is logged, and the password with it",
            fix=f"Set {URL_VARIABLE} instead, and leave source.url out",
        )
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    path = Path(str(url.database))
    return URL.create("sqlite", database=str(path if path.is_absolute() else root() / path))


def shown(url: URL) -> str:
    """A URL as it may be shown: a path, or an address without its password."""
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def _read_only(url: URL) -> URL:
    """A SQLite file is opened for reading only, so that a wrong path makes none."""
    if url.get_backend_name() != "sqlite":
        options = {"connect_timeout": str(CONNECT_SECONDS), "options": "-c default_transaction_read_only=on"}
        return url.set(query={**url.query, **options})
    return URL.create("sqlite", database=f"{Path(str(url.database)).as_uri()}?mode=ro", query={"uri": "true"})
