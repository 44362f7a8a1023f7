"""Bulk INSERT and lookup: SQLAlchemy generates the SQL once, the driver gets plain values.

PostgreSQL gets one array for each column and unnests them: sending each row costs more than storing it. SQLite gets
all rows as one JSON text where JSON represents the values exactly, else blocks of rows, so that the GIL is released
once for a whole statement; released and taken back for each row, it delays every request answered meanwhile.
`python -m experiments.benchmarks --only ingest` measures what comes of it: events a second and CPU time an event.
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
"""Rows of a block, largest first. Older versions of SQLite take at most 999 values in a statement."""
Build = Callable[[Any], Any]
"""Completes the INSERT of a table, for example by ON CONFLICT, which both databases spell the same."""


class Lookup:
    """A query for many texts, passed as one parameter.

    For a plain IN, SQLAlchemy would compile the statement again each time, with one parameter for each value. `build`
    makes the SELECT from a table whose column `value` holds the texts. Fetching a row takes the GIL each time: prefer
    queries that return few rows.
    """

    def __init__(self, build: Callable[[FromClause], Select]) -> None:
        self._build = build
        self._sql: dict[str, str] = {}

    def __call__(self, connection: Connection, values: Collection[str]) -> Sequence[Any]:
        """The rows as the driver returns them: booleans of SQLite are 0 and 1."""
        if not values:
            return ()
        dialect = connection.dialect
        if dialect.name not in self._sql:
            self._sql[dialect.name] = str(self._build(_values_table(dialect)).compile(dialect=dialect))
        parameters = (_text(values),) if is_sqlite(dialect) else {"given": list(values)}
        return connection.exec_driver_sql(self._sql[dialect.name], parameters).all()


class RowLookup:
    """As `Lookup`, for rows of texts with the given column names.

    `build` makes the SELECT from a table with these rows and its columns.
    """

    def __init__(self, names: Sequence[str], build: Callable[[FromClause, Sequence[Any]], Select]) -> None:
        self._names, self._build = tuple(names), build
        self._sql: dict[str, str] = {}

    def __call__(self, connection: Connection, rows: Collection[tuple[str, ...]]) -> Sequence[Any]:
        """The rows found, as the driver returns them."""
        if not rows:
            return ()
        dialect = connection.dialect
        if dialect.name not in self._sql:
            self._sql[dialect.name] = str(self._statement(dialect).compile(dialect=dialect))
        if is_sqlite(dialect):
            parameters: Any = (orjson.dumps(list(rows)).decode(),)
        else:
            parameters = dict(zip(self._names, map(list, zip(*rows, strict=True)), strict=True))
        return connection.exec_driver_sql(self._sql[dialect.name], parameters).all()

    def _statement(self, dialect: Dialect) -> Select:
        if is_sqlite(dialect):
            given = func.json_each(bindparam("rows")).table_valued("value", name="given")
            columns = [
                func.json_extract(given.c.value, literal_column(f"'$[{place}]'")) for place in range(len(self._names))
            ]
            return self._build(given, columns)
        arrays = [bindparam(name, type_=postgresql.ARRAY(Text())) for name in self._names]
        table = func.unnest(*arrays).table_valued(*self._names, name="given").render_derived()
        return self._build(table, [table.c[name] for name in self._names])


def among(connection: Connection, column: Any, values: Collection[str]) -> ColumnElement[bool]:
    """Condition that a text column is one of `values`, which are passed as one parameter."""
    found: ColumnElement[bool] = column.in_(select(_values_table(connection.dialect, values).c.value))
    return found


def _values_table(dialect: Dialect, values: Collection[str] = ()) -> FromClause:
    if is_sqlite(dialect):
        return func.json_each(bindparam("given", _text(values))).table_valued("value")
    whole = bindparam("given", list(values), type_=ARRAY(Text))
    return func.unnest(whole).table_valued("value", name="given").render_derived()


def _text(values: Collection[str]) -> str:
    return orjson.dumps(list(values)).decode()


def ignore_conflicts(statement: Any) -> Any:
    """Keep existing rows as they are."""
    return statement.on_conflict_do_nothing()


class BulkInsert:
    """INSERT of the given columns of a table.

    Values go to the driver as they are: JSON as text. Where `build` replaces existing rows, no two rows of a call may
    have the same key.
    """

    def __init__(self, table: type[Table], columns: Sequence[str], build: Build = ignore_conflicts) -> None:
        self._table, self._columns, self._build = table, tuple(columns), build
        self._sqlite: _SqliteInsert | None = None
        self._postgresql_sql: str | None = None

    def __call__(self, connection: Connection, rows: Sequence[tuple]) -> None:
        """Insert rows, each a tuple in the order of the columns."""
        if not rows:
            return
        if is_sqlite(connection.dialect):
            if self._sqlite is None:
                self._sqlite = _SqliteInsert(self._table, self._columns, self._build, connection.dialect)
            self._sqlite.insert(connection, rows)
            return
        if self._postgresql_sql is None:
            self._postgresql_sql = self._unnested(connection.dialect)
        values = map(list, zip(*rows, strict=True))
        connection.exec_driver_sql(self._postgresql_sql, dict(zip(self._columns, values, strict=True)))

    def _unnested(self, dialect: Dialect) -> str:
        types = {name: self._table.__table__.c[name].type for name in self._columns}
        sent = {name: Text() if isinstance(kind, JSON) else kind for name, kind in types.items()}
        arrays = [bindparam(name, type_=postgresql.ARRAY(sent[name])) for name in self._columns]
        rows = func.unnest(*arrays).table_valued(*self._columns, name="rows").render_derived()
        values = select(*[cast(rows.c[name], types[name]) for name in self._columns])
        statement = self._build(postgresql.insert(self._table).from_select(list(self._columns), values))
        return str(statement.compile(dialect=dialect))


class _SqliteInsert:
    """The statement that takes all rows as JSON, and those for a block of rows and for one row.

    JSON is used only for text, integers and JSON columns: floating-point numbers may change on the way, bytes have no
    representation, and SQLite's JSON strings end at a NUL.
    """

    def __init__(self, table: type[Table], columns: Sequence[str], build: Build, dialect: Dialect) -> None:
        types = [table.__table__.c[name].type for name in columns]
        exact = all(isinstance(kind, String | Integer | JSON) for kind in types)
        self._json_sql = str(_from_json(table, columns, build).compile(dialect=dialect)) if exact else None
        compiled = build(sqlite.insert(table)).compile(dialect=dialect, column_keys=list(columns))
        order = tuple(columns.index(name) for name in compiled.positiontup)
        self._in_order = None if order == tuple(range(len(order))) else itemgetter(*order)
        self._row_sql = str(compiled)
        places = f"({', '.join('?' * len(order))})"
        self._block_sql = {size: self._row_sql.replace(places, ", ".join([places] * size)) for size in BLOCKS}

    def insert(self, connection: Connection, rows: Sequence[tuple]) -> None:
        if self._json_sql is not None:
            text = orjson.dumps(rows).decode()
            if "\\u0000" not in text:
                connection.exec_driver_sql(self._json_sql, (text,))
                return
        if self._in_order is not None:
            rows = list(map(self._in_order, rows))
        done = 0
        for size, sql in self._block_sql.items():
            for _ in range((len(rows) - done) // size):
                connection.exec_driver_sql(sql, tuple(chain.from_iterable(rows[done : done + size])))
                done += size
        if done < len(rows):
            connection.exec_driver_sql(self._row_sql, list(rows[done:]))


def _from_json(table: type[Table], columns: Sequence[str], build: Build) -> Any:
    rows = func.json_each(bindparam("rows")).table_valued("value", name="rows")
    values = [func.json_extract(rows.c.value, literal_column(f"'$[{place}]'")) for place in range(len(columns))]
    # without a condition, SQLite would read ON CONFLICT as the condition of a join
    return build(sqlite.insert(table).from_select(list(columns), select(*values).where(literal_column("true"))))
