"""Many rows by one statement: SQLAlchemy writes the SQL once, the driver gets plain values, nobody looks at each row.

PostgreSQL takes a list a column, unnested there, for each row sent on its own would cost it more than the row itself.
SQLite takes blocks of rows: the interpreter is let go for a whole block. Row by row it is let go and wanted back
thousands of times a second, and every request that is being answered meanwhile waits for each of these turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import JSON, Connection, Dialect, Text, bindparam, cast, func, select
from sqlalchemy.dialects import postgresql, sqlite

from serving.store.connection import is_sqlite
from serving.store.tables import Table

BLOCKS = (100, 10)
"""Rows of a block, largest first. SQLite took no more than 999 values in a statement for long."""
Build = Callable[[Any], Any]
"""From the INSERT of a table (which knows ON CONFLICT; both databases spell it alike) to the statement."""


def or_nothing(statement: Any) -> Any:
    """Rows that are there already stay as they are."""
    return statement.on_conflict_do_nothing()


class BulkInsert:
    """INSERT of the given columns of a table. Values go to the driver as they are: JSON as text. No two rows of a call
    may be the same one to a statement that replaces what is there."""

    def __init__(self, table: type[Table], columns: Sequence[str], build: Build = or_nothing) -> None:
        self._table, self._columns, self._build = table, tuple(columns), build
        self._for_sqlite: _ForSqlite | None = None
        self._for_postgresql: str | None = None

    def __call__(self, connection: Connection, rows: Sequence[tuple]) -> None:
        """Insert rows, each a tuple in the order of the columns."""
        if not rows:
            return
        if is_sqlite(connection.dialect):
            if self._for_sqlite is None:
                statement = self._build(sqlite.insert(self._table))
                self._for_sqlite = _ForSqlite(statement, connection.dialect, self._columns)
            self._for_sqlite.insert(connection, rows)
            return
        if self._for_postgresql is None:
            self._for_postgresql = self._unnested(connection.dialect)
        values = map(list, zip(*rows, strict=True))
        connection.exec_driver_sql(self._for_postgresql, dict(zip(self._columns, values, strict=True)))

    def _unnested(self, dialect: Dialect) -> str:
        types = {name: self._table.__table__.c[name].type for name in self._columns}
        sent = {name: Text() if isinstance(kind, JSON) else kind for name, kind in types.items()}
        arrays = [bindparam(name, type_=postgresql.ARRAY(sent[name])) for name in self._columns]
        rows = func.unnest(*arrays).table_valued(*self._columns, name="rows").render_derived()
        values = select(*[cast(rows.c[name], types[name]) for name in self._columns])
        statement = self._build(postgresql.insert(self._table).from_select(list(self._columns), values))
        return str(statement.compile(dialect=dialect))


class _ForSqlite:
    """The statement for one row, and those for blocks of rows."""

    def __init__(self, statement: Any, dialect: Dialect, columns: Sequence[str]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(columns))
        order = tuple(columns.index(name) for name in compiled.positiontup)
        self._in_order = None if order == tuple(range(len(order))) else itemgetter(*order)
        self._one = str(compiled)
        places = f"({', '.join('?' * len(order))})"
        self._of = {size: self._one.replace(places, ", ".join([places] * size)) for size in BLOCKS}

    def insert(self, connection: Connection, rows: Sequence[tuple]) -> None:
        if self._in_order is not None:
            rows = list(map(self._in_order, rows))
        done = 0
        for size, sql in self._of.items():
            for _ in range((len(rows) - done) // size):
                connection.exec_driver_sql(sql, tuple(chain.from_iterable(rows[done : done + size])))
                done += size
        if done < len(rows):
            connection.exec_driver_sql(self._one, list(rows[done:]))
