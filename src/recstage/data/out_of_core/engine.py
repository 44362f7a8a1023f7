"""DuckDB as the engine of what does not fit into memory: joins and sorts on disk, with a bound on its memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

from recstage.config.memory_size import shown
from recstage.errors import ConfigError, DataError, OutOfMemory, StoreError

ROWS_AT_ONCE = 500_000
FULL = ("no space left", "disk full", "max_temp_directory_size", "could not write", "failed to offload")
"""In DuckDB's messages where the disk ends."""


def is_installed() -> bool:
    """Whether DuckDB can be imported."""
    return find_spec("duckdb") is not None


def missing() -> ConfigError:
    """The refusal where DuckDB is not installed."""
    return ConfigError(
        "engine = duckdb",
        rule="preparing out of core needs DuckDB, which is not installed",
        fix="pip install 'recstage[scale]', or set engine to memory",
    )


class Engine:
    """A database of its own in a folder that is deleted with the work."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, sql: str) -> None:
        """A statement without a result."""
        self._connection.execute(sql)

    def name(self, name: str, table: pa.Table) -> None:
        """Makes an Arrow table a table of SQL; the rows stay where they are."""
        self._connection.register(name, table)

    def table(self, sql: str) -> pa.Table:
        """The result of a query in memory."""
        return self._connection.sql(sql).to_arrow_table()

    def row(self, sql: str) -> tuple[Any, ...]:
        """The only row of a result."""
        (found,) = self._connection.sql(sql).fetchall()
        return tuple(found)

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        """The result of a query, `ROWS_AT_ONCE` rows at a time."""
        yield from self._connection.sql(sql).to_arrow_reader(ROWS_AT_ONCE)


@contextmanager
def opened(folder: Path, memory: int, threads: int, source: str) -> Iterator[Engine]:
    """An engine of so many threads that takes at most `memory` bytes and writes what is more into `folder`. `source`:
    what is read, for messages. Raises `ConfigError` where DuckDB is missing, `OutOfMemory`, `StoreError` where the disk
    is full, `DataError` on files that it cannot read."""
    try:
        import duckdb
    except ImportError as error:
        raise missing() from error
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory >> 20}MiB",
        "temp_directory": str(folder / "spilled"),
        "threads": threads,
        "preserve_insertion_order": False,
    }
    try:
        connection = duckdb.connect(":memory:", config=settings)
        try:
            yield Engine(connection)
        finally:
            connection.close()
    except duckdb.OutOfMemoryException as error:
        if any(sign in str(error).lower() for sign in FULL[:3]):
            raise _disk_full(folder, error) from error
        raise OutOfMemory(
            f"{shown(memory)} for DuckDB", rule=f"it needs more to prepare {source}", fix="Raise memory"
        ) from error
    except duckdb.IOException as error:
        if any(sign in str(error).lower() for sign in FULL):
            raise _disk_full(folder, error) from error
        raise DataError(source, rule=f"cannot be read ({_first_line(error)})", fix="Get the files again") from error
    except duckdb.Error as error:
        raise DataError(source, rule=f"cannot be read ({_first_line(error)})", fix="Set engine to memory") from error


def _disk_full(folder: Path, error: Exception) -> StoreError:
    return StoreError(
        f"the disk of {folder.parent}",
        rule=f"is full ({_first_line(error)})",
        fix="Free space: preparing needs some 100 bytes an event for a while",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
