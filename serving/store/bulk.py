"""Many rows by one statement: SQLAlchemy writes the SQL once, the driver gets tuples and nobody looks at each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from serving.store.connection import is_sqlite
from serving.store.tables import Table

Build = Callable[[Any], Any]
"""From the INSERT of a table (which knows ON CONFLICT; both databases spell it alike) to the statement."""


def or_nothing(statement: Any) -> Any:
    """Rows that are there already stay as they are."""
    return statement.on_conflict_do_nothing()


class BulkInsert:
    """INSERT of the given columns of a table. Values go to the driver as they are: JSON as text."""

    def __init__(self, table: type[Table], columns: Sequence[str], build: Build = or_nothing) -> None:
        self._table, self._columns, self._build = table, tuple(columns), build
        self._compiled: dict[str, tuple[str, tuple[int, ...] | None]] = {}

    def __call__(self, connection: Connection, rows: Sequence[tuple]) -> None:
        """Insert rows, each a tuple in the order of the columns."""
        if not rows:
            return
        sql, order = self._statement(connection)
        if order is None:
            connection.exec_driver_sql(sql, [dict(zip(self._columns, row, strict=True)) for row in rows])
        elif order == tuple(range(len(self._columns))):
            connection.exec_driver_sql(sql, list(rows))
        else:
            connection.exec_driver_sql(sql, [tuple(row[place] for place in order) for row in rows])

    def _statement(self, connection: Connection) -> tuple[str, tuple[int, ...] | None]:
        """The SQL and, for a driver that asks by position, which column each place takes."""
        dialect = connection.dialect
        found = self._compiled.get(dialect.name)
        if found is None:
            insert = (sqlite if is_sqlite(dialect) else postgresql).insert(self._table)
            compiled = self._build(insert).compile(dialect=dialect, column_keys=list(self._columns))
            places = compiled.positiontup
            order = None if places is None else tuple(self._columns.index(name) for name in places)
            found = self._compiled[dialect.name] = (str(compiled), order)
        return found
