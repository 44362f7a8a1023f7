"""A table or query of a database as a Parquet file, so that what was read is identified by its content.

`sqlite:///shop.db` and `postgresql://user@host/shop` are read through SQLAlchemy, in one transaction that writes
nothing. Every column comes as text, as in a CSV.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, Row, create_engine, inspect, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from tqdm import tqdm

from recstage.data.schema import ITEM, USER
from recstage.data.tables.names import EVENT_NAMES, ITEM_NAMES, mapped
from recstage.errors import DataError, StoreError, valid_names

SQLITE = b"SQLite format 3\0"
SCHEMES = ("sqlite:", "postgresql:", "postgresql+psycopg:", "postgres:")
ROWS_AT_ONCE = 100_000
CONNECT_SECONDS = 10
Kind = Literal["events", "items"]


def is_url(path: str) -> bool:
    """Whether a path is a database's."""
    return path.startswith(SCHEMES)


def url_of_file(path: str) -> str | None:
    """The URL of an SQLite database that is given as a file; None where the file is none."""
    file = Path(path).expanduser()
    try:
        with file.open("rb") as stream:
            return f"sqlite:///{file.absolute()}" if stream.read(len(SQLITE)) == SQLITE else None
    except (OSError, ValueError):
        return None


def has_password(url: str) -> bool:
    """Whether a URL, as it is written in a configuration, holds a password."""
    try:
        return is_url(url) and bool(make_url(url).password)
    except ArgumentError:
        return False


def snapshot(
    url: str, folder: Path, *, table: str | None = None, query: str | None = None, kind: Kind = "events"
) -> Path:
    """A Parquet file in `folder` of all rows of a table (by default the only one with columns of users and items, or,
    for `kind` items, of items and no users), or of a query. The table may follow a # in the URL. Equal rows give
    the same file name. Raises `DataError` on what cannot be asked so, `StoreError` where the database cannot be read or
    the disk refuses."""
    url, _, named = url.partition("#")
    table, where = table or named or None, _shown(url)
    if query is not None and not query.lstrip().lower().startswith(("select", "with", "values")):
        raise DataError(
            f"source.query = {query[:60]}", rule="only SELECT, WITH and VALUES are read", fix="Give a query that reads"
        )
    with _connected(url, where) as connection:
        statement = query if query is not None else _select(connection, table, where, kind)
        return _written(connection.execution_options(stream_results=True), statement, folder, where)


def table_names(url: str) -> list[str]:
    """Tables and views of a database."""
    with _connected(url, _shown(url)) as connection:
        return _tables(connection)


def _tables(connection: Connection) -> list[str]:
    inspector = inspect(connection)
    return sorted([*inspector.get_table_names(), *inspector.get_view_names()])


def _select(connection: Connection, table: str | None, where: str, kind: Kind) -> str:
    names = _tables(connection)
    if table is None:
        fitting = [name for name in names if _fits(connection, name, kind)]
        if len(fitting) != 1:
            raise DataError(
                f"{where} without a table",
                rule=f"{len(fitting)} of its tables could be the one of {kind}",
                fix=f"Set source.table or source.query, or write URL#TABLE. Valid names: {', '.join(names) or 'none'}",
            )
        table = fitting[0]
    schema, _, name = table.rpartition(".")
    if table not in names and name not in (inspect(connection).get_table_names(schema or None) if schema else names):
        raise DataError(f"{where}: table '{table}'", rule="no such table", fix=valid_names(table, names))
    quote = connection.dialect.identifier_preparer.quote
    return f"SELECT * FROM {quote(schema) + '.' if schema else ''}{quote(name)}"  # noqa: S608 - quoted above


def _fits(connection: Connection, table: str, kind: Kind) -> bool:
    columns = [str(one["name"]) for one in inspect(connection).get_columns(table)]
    found = {*mapped(columns, {}, EVENT_NAMES, setting="", where=table)}
    if kind == "events":
        return {USER, ITEM} <= found
    return USER not in found and ITEM in mapped(columns, {}, ITEM_NAMES, setting="", where=table)


def _written(connection: Connection, statement: str, folder: Path, where: str) -> Path:
    """The rows of a statement as Parquet, named by what they are."""
    digest = hashlib.sha256()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".sql-", delete=False) as partial:
            pass
        path = Path(partial.name)
        try:
            result = connection.execute(text(statement))
            names = list(result.keys())
            schema = pa.schema([(name, pa.string()) for name in names])
            with (
                pq.ParquetWriter(path, schema, compression="zstd") as writer,
                tqdm(desc=f"read {where}", unit="row", unit_scale=True, delay=2, disable=None) as bar,
            ):
                for rows in result.partitions(ROWS_AT_ONCE):
                    batch = _batch(rows, schema)
                    for column in batch.columns:
                        digest.update("\x00".join("\x01" if v is None else v for v in column.to_pylist()).encode())
                    writer.write_batch(batch)
                    bar.update(len(rows))
            target = folder / f"sql-{digest.hexdigest()[:16]}.parquet"
            os.replace(path, target)
            return target
        finally:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            str(folder), rule=f"cannot be written ({error.strerror})", fix="Free space or mend its permissions"
        ) from error


def _batch(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True))
    return pa.record_batch([pa.array(map(_text, column), pa.string()) for column in columns], schema=schema)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    return str(value)


@contextmanager
def _connected(url: str, where: str) -> Iterator[Connection]:
    try:
        with create_engine(_read_only(_parsed(url)), poolclass=NullPool).connect() as connection:
            yield connection
    except ImportError as error:
        raise StoreError(
            where, rule="PostgreSQL is read through psycopg 3", fix="pip install 'psycopg[binary]'"
        ) from error
    except SQLAlchemyError as error:
        reason = (str(getattr(error, "orig", None) or error).strip().splitlines() or ["no reason given"])[0]
        if getattr(error, "connection_invalidated", False):
            raise StoreError(
                where,
                rule=f"the server ended the connection in the middle ({reason})",
                fix="Once it is back, run again: of the part that was read nothing is kept",
            ) from error
        raise StoreError(
            where, rule=f"cannot be read ({reason})", fix="Correct the URL, source.table or source.query"
        ) from error


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    except ArgumentError as error:
        raise DataError(
            "source.path", rule="it is no database URL", fix="Give sqlite:///path or postgresql://user@host/name"
        ) from error
    if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).is_file():
        raise DataError(
            url, rule="no such file", fix="Correct the path: three slashes and a relative one, four and a full one"
        )
    return parsed


def _read_only(url: URL) -> URL:
    if url.get_backend_name() == "sqlite":
        return url.set(database=f"file:{Path(str(url.database)).resolve()}", query={"uri": "true", "mode": "ro"})
    options = {"connect_timeout": str(CONNECT_SECONDS), "options": "-c default_transaction_read_only=on"}
    return url.set(drivername="postgresql+psycopg", query={**url.query, **options})


def _shown(url: str) -> str:
    """A URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "a database URL"
