"""Many rows by one statement: SQLAlchemy writes the SQL once, the driver gets plain values, nobody looks at each row.

PostgreSQL takes a list a column, unnested there, for each row sent on its own would cost it more than the row itself.
SQLite takes all rows as one JSON text where text says them exactly, else blocks of rows: the interpreter is let go for
a whole statement. Row by row it is let go and wanted back thousands of times a second, and every request that is being
answered meanwhile waits for each of these turns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    Connection,
    Dialect,
    FromClause,
    Integer,
    Select,
    String,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from serving.store.db.connection import is_sqlite
from serving.store.db.tables import Table

BLOCKS = (100, 10)
"""Rows of a block, largest first. SQLite took no more than 999 values in a statement for long."""
Build = Callable[[Any], Any]
"""From the INSERT of a table (which knows ON CONFLICT; both databases spell it alike) to the statement."""


class Lookup:
    """A question about many texts, which are one parameter (for IN, SQLAlchemy would write the statement anew each
    time, with a place for each). `ask` makes the SELECT; the texts are the column `value` of the table that it is
    given. Each row of an answer is a turn of its own with the interpreter: better to ask for exceptions."""

    def __init__(self, ask: Callable[[FromClause], Select]) -> None:
        self._ask = ask
        self._sql: dict[str, str] = {}

    def __call__(self, connection: Connection, values: Collection[str]) -> Sequence[Any]:
        """The rows found, as the driver gives them: booleans of SQLite are 0 and 1."""
        if not values:
            return ()
        dialect = connection.dialect
        if dialect.name not in self._sql:
            self._sql[dialect.name] = str(self._ask(_given(dialect)).compile(dialect=dialect))
        given = (_text(values),) if is_sqlite(dialect) else {"given": list(values)}
        return connection.exec_driver_sql(self._sql[dialect.name], given).all()


def among(connection: Connection, column: Any, values: Collection[str]) -> ColumnElement[bool]:
    """Whether a column of text is one of `values`, which are one parameter, however many they are."""
    found: ColumnElement[bool] = column.in_(select(_given(connection.dialect, values).c.value))
    return found


def _given(dialect: Dialect, values: Collection[str] = ()) -> FromClause:
    if is_sqlite(dialect):
        return func.json_each(bindparam("given", _text(values))).table_valued("value")
    whole = bindparam("given", list(values), type_=ARRAY(Text))
    return func.unnest(whole).table_valued("value", name="given").render_derived()


def _text(values: Collection[str]) -> str:
    return orjson.dumps(list(values)).decode()


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
                self._for_sqlite = _ForSqlite(self._table, self._columns, self._build, connection.dialect)
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
    """The statement for all rows as JSON, and those for blocks of rows and for one. A number with a fraction might not
    come out of a text as it went in, bytes cannot be said by one, and its strings end at a NUL."""

    def __init__(self, table: type[Table], columns: Sequence[str], build: Build, dialect: Dialect) -> None:
        types = [table.__table__.c[name].type for name in columns]
        exact = all(isinstance(kind, String | Integer | JSON) for kind in types)
        self._whole = str(_from_json(table, columns, build).compile(dialect=dialect)) if exact else None
        compiled = build(sqlite.insert(table)).compile(dialect=dialect, column_keys=list(columns))
        order = tuple(columns.index(name) for name in compiled.positiontup)
        self._in_order = None if order == tuple(range(len(order))) else itemgetter(*order)
        self._one = str(compiled)
        places = f"({', '.join('?' * len(order))})"
        self._of = {size: self._one.replace(places, ", ".join([places] * size)) for size in BLOCKS}

    def insert(self, connection: Connection, rows: Sequence[tuple]) -> None:
        if self._whole is not None:
            text = orjson.dumps(rows).decode()
            if "\\u0000" not in text:
                connection.exec_driver_sql(self._whole, (text,))
                return
        if self._in_order is not None:
            rows = list(map(self._in_order, rows))
        done = 0
        for size, sql in self._of.items():
            for _ in range((len(rows) - done) // size):
                connection.exec_driver_sql(sql, tuple(chain.from_iterable(rows[done : done + size])))
                done += size
        if done < len(rows):
            connection.exec_driver_sql(self._one, list(rows[done:]))


def _from_json(table: type[Table], columns: Sequence[str], build: Build) -> Any:
    rows = func.json_each(bindparam("rows")).table_valued("value", name="rows")
    values = [func.json_extract(rows.c.value, literal_column(f"'$[{place}]'")) for place in range(len(columns))]
    # without a condition, SQLite would read ON CONFLICT as the condition of a join
    return build(sqlite.insert(table).from_select(list(columns), select(*values).where(literal_column("true"))))
