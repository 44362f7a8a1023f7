"""Engines for SQLite and PostgreSQL, by URL, with the settings that make an acknowledged event durable.

SQLite: write-ahead log, `synchronous=FULL` (a commit returns when it is on disk), a busy timeout, foreign keys
enforced, transactions begun explicitly (so that schema changes roll back too), and no file created by accident: only
an upgrade creates one. PostgreSQL: psycopg 3, `synchronous_commit=on`, timeouts for connecting, locks and statements.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, QueuePool

from recstage import config
from recstage.election.locks import HOST_GONE_SECONDS, KEEPALIVE
from recstage.errors import ConfigError, StoreError
from serving.store.db.errors import SchemaMismatch, StoreBusy, StoreCorrupt, StoreFull, StoreUnavailable

WRITE = {"recstage_write": True}
"""Execution options of a connection that will write: SQLite then takes the write lock at once."""
CHECKPOINT_MS = 50
"""Longest time that a checkpoint waits for readers and keeps writers out."""


def parse_url(text: str) -> URL:
    """Parse a database URL. Raises `ConfigError` on anything but SQLite in a file and PostgreSQL.

    `postgresql://` means psycopg 3; a relative SQLite path starts at the repository.
    """
    try:
        url = make_url(text)
    except exc.ArgumentError as error:
        raise _wrong_url(text.split("://")[0]) from error
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or url.database in (None, "", ":memory:"):
        raise _wrong_url(backend)
    path = Path(str(url.database))
    return URL.create("sqlite", database=str(path if path.is_absolute() else config.root() / path))


def _wrong_url(given: str) -> ConfigError:
    return ConfigError(
        f"database URL of kind '{given}'",
        rule="the service keeps its data in a SQLite file or in PostgreSQL",
        fix="Give sqlite:///path/to/file.db or postgresql://user@host/name",
    )


def sqlite_path(url: URL) -> Path | None:
    """The file of a SQLite URL, None for PostgreSQL."""
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def display_url(url: URL) -> str:
    """The URL without its password, for messages."""
    path = sqlite_path(url)
    return str(path) if path else url.render_as_string(hide_password=True)


def open_engine(url: URL, *, busy_timeout: float = 2.0, pooled: bool = True, statements: bool = True) -> Engine:
    """An engine with the settings above; it opens no connection yet.

    `busy_timeout`: seconds to wait for a lock; `pooled`: keep one connection open; `statements`: on PostgreSQL, also
    limit how long locks and statements may take.
    """
    path = sqlite_path(url)
    pool: dict[str, Any] = {"poolclass": QueuePool, "pool_size": 1} if pooled else {"poolclass": NullPool}
    if path is not None:
        engine = create_engine(url, creator=lambda: connect_sqlite(path, busy_timeout), hide_parameters=True, **pool)
        event.listen(engine, "begin", _begin_sqlite)
        if pooled:
            event.listen(engine, "checkout", _refuse_moved_file)
        return engine
    milliseconds = int(busy_timeout * 1000)
    limits = f" -c lock_timeout={milliseconds} -c statement_timeout={15 * milliseconds}" if statements else ""
    arguments = {
        "connect_timeout": 2,
        "tcp_user_timeout": HOST_GONE_SECONDS * 1000,
        "options": f"-c synchronous_commit=on -c timezone=utc{limits}",
        **KEEPALIVE,
    }
    try:
        return create_engine(url, connect_args=arguments, pool_pre_ping=pooled, hide_parameters=True, **pool)
    except ImportError as error:
        raise ConfigError(
            "a PostgreSQL URL", rule="PostgreSQL needs the driver psycopg 3", fix="pip install 'psycopg[binary]'"
        ) from error


def open_tool_engine(url: URL) -> Engine:
    """An engine for backup, restore and migration: connections are closed after use, statements are not limited."""
    return open_engine(url, busy_timeout=10.0, pooled=False, statements=False)


class SqliteConnection(sqlite3.Connection):
    """A connection that remembers which file it opened."""

    path: Path
    identity: tuple[int, int]

    def moved(self) -> bool:
        """Whether the path now holds another file or none, so that writes to this connection would be lost."""
        try:
            status = os.stat(self.path)
        except OSError:
            return True
        return (status.st_dev, status.st_ino) != self.identity


def connect_sqlite(path: Path, busy_timeout: float, *, create: bool = False) -> SqliteConnection:
    """A SQLite connection with the settings above; `busy_timeout` in seconds, `create` makes a missing file.

    Raises `sqlite3.OperationalError` where the file is missing, unless `create`.
    """
    mode = "rwc" if create else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
        factory=SqliteConnection,
        cached_statements=256,
    )
    status = os.stat(path)
    connection.path, connection.identity = path, (status.st_dev, status.st_ino)
    try:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def truncate_log(connection: sqlite3.Connection) -> bool:
    """Try once to move the write-ahead log into the database and to truncate it; False where something is in the way.

    A checkpoint that waits for readers keeps all writers out meanwhile, and theirs wait for two seconds only: this one
    gives up soon, to be called again. https://www.sqlite.org/c3ref/wal_checkpoint_v2.html
    """
    patience = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    connection.execute(f"PRAGMA busy_timeout={CHECKPOINT_MS}")
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout={patience}")
    return not busy


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("recstage_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _refuse_moved_file(dbapi_connection: DBAPIConnection, entry: ConnectionPoolEntry, proxy: Any) -> None:
    if dbapi_connection.moved():
        raise exc.DisconnectionError("the database file was moved")  # the pool then opens the file again


@contextmanager
def translate_errors(url: URL) -> Iterator[None]:
    """Turn errors of the driver and SQLAlchemy into `StoreError`s; everything else passes."""
    try:
        yield
    except StoreError:
        raise
    except exc.DBAPIError as error:
        raise to_store_error(error.orig if error.orig is not None else error, url) from error
    except exc.TimeoutError as error:
        raise StoreBusy(display_url(url), rule="all its connections are in use", fix="Try again in a moment") from error
    except (exc.SQLAlchemyError, sqlite3.Error) as error:
        raise to_store_error(error, url) from error
    except OSError as error:
        raise to_store_error(error, url) from error


def to_store_error(error: BaseException, url: URL) -> StoreError:
    """The `StoreError` for an error of a driver."""
    where = display_url(url)
    kind = _kind(error)
    if kind is StoreBusy:
        return StoreBusy(where, rule="the database is locked by another process", fix="Try again in a moment")
    if kind is StoreFull:
        return StoreFull(where, rule="no space is left on its disk", fix="Free some space, then try again")
    if kind is SchemaMismatch:
        return SchemaMismatch(where, rule="it lacks the service's tables", fix="Run python -m serving.store upgrade")
    if kind is StoreCorrupt:
        return StoreCorrupt(
            where, rule=f"it is not a valid database ({error})", fix="Run python -m serving.store restore BACKUP"
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return StoreUnavailable(where, rule="this account may not write there", fix="Give a path that it may write")
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return StoreUnavailable(
            where, rule="there is no such file", fix="Run python -m serving.store upgrade to make one"
        )
    return StoreUnavailable(
        where, rule=f"the database cannot be reached ({_first_line(error)})", fix="Start it, or correct the URL"
    )


def _kind(error: BaseException) -> type[StoreError]:
    state = getattr(error, "sqlstate", None)
    if state is not None:  # PostgreSQL: https://www.postgresql.org/docs/current/errcodes-appendix.html
        if state in ("55P03", "57014", "40P01", "40001", "53300"):
            return StoreBusy
        if state in ("53100", "53200"):
            return StoreFull
        return SchemaMismatch if state in ("42P01", "42703") else StoreUnavailable
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreFull
    text = str(error)
    if "locked" in text or "busy" in text:
        return StoreBusy
    if "is full" in text:
        return StoreFull
    if "no such table" in text or "no such column" in text or "has no column" in text:
        return SchemaMismatch
    return StoreCorrupt if "malformed" in text or "not a database" in text else StoreUnavailable


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def is_sqlite(dialect: Dialect) -> bool:
    """Whether this is SQLite."""
    return dialect.name == "sqlite"
