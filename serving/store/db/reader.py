"""Reads while a request is answered: statements compiled once, on a connection that each thread keeps.

SQLAlchemy generates the SQL; the driver runs it without a session, transaction or pool, because every request
reads. What fails is a `StoreError`, and the next read opens the database again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import orjson
from sqlalchemy import ClauseElement, Engine
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL
from sqlalchemy.pool import PoolProxiedConnection

from serving.store.db.connection import is_sqlite, open_engine, to_store_error
from serving.store.db.errors import StoreUnavailable

Observe = Callable[[str, float], None]
"""Called with the name and the seconds of every query."""
_PAUSE_AFTER_FAILURE = 1.0  # seconds
_FILE_LOOK_SECONDS = 0.01
"""A file that was replaced is noticed within so long: looking at each query costs a third of the query."""


@dataclass(frozen=True, eq=False)
class Query:
    """A statement with a name for metrics and logs; parameters are its `bindparam`s."""

    name: str
    statement: ClauseElement
    compiled: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    """By the name of the dialect."""

    def sql(self, engine: Engine) -> tuple[str, dict[str, Any]]:
        """The SQL for this engine's driver, with named parameters, and the values of the constant ones."""
        found = self.compiled.get(engine.dialect.name)
        if found is None:
            # SQLAlchemy's SQLite dialect uses positional parameters; named ones are the same call as PostgreSQL's
            dialect = sqlite.dialect(paramstyle="named") if is_sqlite(engine.dialect) else engine.dialect
            compiled = self.statement.compile(dialect=dialect)
            if "[POSTCOMPILE_" in str(compiled):
                raise ValueError(f"query '{self.name}': IN with a list is expanded at each execution; write it out")
            found = self.compiled[engine.dialect.name] = (str(compiled), dict(compiled.params))
        return found


class Reader:
    """Runs queries. Safe to use from several threads."""

    def __init__(self, url: URL, *, observe: Observe = lambda name, seconds: None) -> None:
        self.url = url
        self._engine = engine = open_engine(url, pooled=False)
        self._observe = observe
        self._is_sqlite, self._dialect = is_sqlite(engine.dialect), engine.dialect.name
        self._local = threading.local()
        self._connections: WeakSet[_ThreadConnection] = WeakSet()
        self._unavailable_until = 0.0

    def rows(self, query: Query, parameters: Mapping[str, Any] | None = None) -> list[tuple]:
        """All rows of a query. Raises `StoreError`."""
        began = time.perf_counter()
        sql, constants = query.compiled.get(self._dialect) or query.sql(self._engine)
        connection = self._connection(began)
        if parameters is None or constants:
            parameters = {**constants, **(parameters or {})}
        try:
            found: list[tuple] = connection.execute(sql, parameters).fetchall()
        except Exception as error:
            self._discard_connection()
            raise to_store_error(error, self._engine.url) from error
        self._observe(query.name, time.perf_counter() - began)
        return found

    def row(self, query: Query, parameters: Mapping[str, Any] | None = None) -> tuple | None:
        """The first row, None where there is none. Raises `StoreError`."""
        found = self.rows(query, parameters)
        return found[0] if found else None

    def current(self) -> Reader:
        """The reader that answers now: this one, or the one that stands in for it."""
        return self

    def close(self) -> None:
        """Close the connections of all threads."""
        for held in list(self._connections):
            held.close()

    def _connection(self, now: float) -> Any:
        held: _ThreadConnection | None = getattr(self._local, "held", None)
        if held is not None:
            connection = held.driver
            if not self._is_sqlite or now < held.sure_until:
                return connection
            if not connection.moved():
                held.sure_until = now + _FILE_LOOK_SECONDS
                return connection
            self._discard_connection()
        return self._connect()

    def _connect(self) -> Any:
        if time.monotonic() < self._unavailable_until:  # a timeout costs seconds: not for every request
            raise StoreUnavailable(
                "the database", rule="it did not answer a moment ago", fix="Restart it; it is tried again every second"
            )
        try:
            held = _ThreadConnection(self._engine.raw_connection())
            if not self._is_sqlite:
                held.driver.rollback()
                held.driver.autocommit = True
        except Exception as error:
            if not self._is_sqlite:
                self._unavailable_until = time.monotonic() + _PAUSE_AFTER_FAILURE
            raise to_store_error(getattr(error, "orig", None) or error, self._engine.url) from error
        self._local.held = held
        self._connections.add(held)
        return held.driver

    def _discard_connection(self) -> None:
        held: _ThreadConnection | None = getattr(self._local, "held", None)
        self._local.held = None
        if held is not None:
            held.close()


class _ThreadConnection:
    """The connection of one thread; closed with it."""

    def __init__(self, pooled: PoolProxiedConnection) -> None:
        self._pooled = pooled
        self.driver: Any = pooled.driver_connection
        self.sure_until = 0.0
        """Until when its file counts as the one that its path names."""

    def close(self) -> None:
        with suppress(Exception):
            self._pooled.invalidate()


def from_json(value: Any) -> Any:
    """The value of a JSON column: SQLite's driver returns its text, PostgreSQL's the object."""
    return orjson.loads(value) if isinstance(value, str | bytes) else value
