"""Many rows by one statement: SQLAlchemy writes the SQL once, the driver gets plain values, nobody looks at each row.

SQLite takes a tuple a row; PostgreSQL a list a column, unnested there, for each row sent on its own would cost it more
than the row itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import JSON, Connection, Dialect, Text, bindparam, cast, func, select
from sqlalchemy.dialects import postgresql, sqlite

from serving.store.connection import is_sqlite
from serving.store.tables import Table

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
        self._compiled: dict[str, tuple[str, tuple[int, ...]]] = {}

    def __call__(self, connection: Connection, rows: Sequence[tuple]) -> None:
        """Insert rows, each a tuple in the order of the columns."""
        if not rows:
            return
        dialect = connection.dialect
        if dialect.name not in self._compiled:
            self._compiled[dialect.name] = self._for_sqlite(dialect) if is_sqlite(dialect) else self._unnested(dialect)
        sql, order = self._compiled[dialect.name]
        if is_sqlite(dialect):
            in_order = order == tuple(range(len(order)))
            connection.exec_driver_sql(sql, list(rows if in_order else map(itemgetter(*order), rows)))
        else:
            connection.exec_driver_sql(sql, dict(zip(self._columns, map(list, zip(*rows, strict=True)), strict=True)))

    def _for_sqlite(self, dialect: Dialect) -> tuple[str, tuple[int, ...]]:
        """The SQL, and which column each of its places takes."""
        statement = self._build(sqlite.insert(self._table))
        compiled = statement.compile(dialect=dialect, column_keys=list(self._columns))
        return str(compiled), tuple(self._columns.index(name) for name in compiled.positiontup)

    def _unnested(self, dialect: Dialect) -> tuple[str, tuple[int, ...]]:
        types = {name: self._table.__table__.c[name].type for name in self._columns}
        sent = {name: Text() if isinstance(kind, JSON) else kind for name, kind in types.items()}
        arrays = [bindparam(name, type_=postgresql.ARRAY(sent[name])) for name in self._columns]
        rows = func.unnest(*arrays).table_valued(*self._columns, name="rows").render_derived()
        values = select(*[cast(rows.c[name], types[name]) for name in self._columns])
        statement = self._build(postgresql.insert(self._table).from_select(list(self._columns), values))
        return str(statement.compile(dialect=dialect)), ()
