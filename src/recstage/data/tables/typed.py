"""Files whose columns have types of their own: Parquet, Arrow (Feather) and spreadsheets."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recstage.data.files.file_tree import FileTree, damaged_is_an_error, unpacked
from recstage.data.schema import NONE_REJECTED, Places
from recstage.data.tables.dialect import names_columns, unique_names
from recstage.data.tables.names import is_usual
from recstage.data.tables.table import Account, Table
from recstage.errors import DataError, valid_names

PARQUET, ARROW = (".parquet", ".pq", ".parq"), (".arrow", ".feather", ".ipc", ".arrows")
SHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
SAMPLE_ROWS = 200
ROWS_AT_ONCE = 100_000


class ArrowFile:
    """A Parquet or Arrow file (`recstage.data.tables.table.TableFile`). Structs are columns of their own."""

    unit = "row"
    has_header = True

    def __init__(self, tree: FileTree, name: str) -> None:
        self.where = tree.label(name)
        self._tree, self._name = tree, name
        with tree.open(name) as stream:
            head = stream.read(6)
        self._parquet = head.startswith(b"PAR1") or (_ending(name) in PARQUET and head != b"ARROW1")
        self._file: Any = None
        with damaged_is_an_error(self.on_disk):
            if self._parquet:
                self._file = pq.ParquetFile(self._source())
                schema = self._file.schema_arrow
                first = pa.Table.from_batches(list(islice(self._file.iter_batches(SAMPLE_ROWS), 1)), schema)
            else:
                first = self._all().slice(0, SAMPLE_ROWS)
                schema = first.schema
            self._structs = any(pa.types.is_struct(one.type) for one in schema)
            first.validate(full=True)  # what is damaged could otherwise be read outside of its bytes
            sample = _flattened(first)
            self.names = tuple(sample.column_names)
            columns = [column.to_pylist() for column in sample.columns]
        self.rows = tuple(tuple("" if v is None else str(v) for v in row) for row in zip(*columns, strict=True))

    def read(self, columns: Sequence[str] | None = None, coded: Collection[str] = ()) -> Table:
        """Columns as the file types them; text that is asked for `coded` as categories."""
        chosen = list(columns) if columns is not None else list(self.names)
        with damaged_is_an_error(self.on_disk):
            if self._parquet and not self._structs:
                table = self._file.read(columns=chosen)
            else:
                table = _flattened(self._file.read() if self._parquet else self._all()).select(chosen)
            table.validate(full=True)
            frame = pd.DataFrame({name: _series(table[name], name in coded) for name in chosen})
        frame.index = pd.Index(np.arange(1, len(table) + 1, dtype=np.int64))
        return Table(frame, len(frame), places=Places(unit="row"))

    def stream(
        self, columns: Sequence[str], coded: Collection[str], take: Callable[[pa.Table, np.ndarray], None]
    ) -> Account:
        """Columns of text in blocks, of a file that `is_plain_parquet`: `take` gets the rows of each, with their
        numbers."""
        rows = 0
        with damaged_is_an_error(self.on_disk):
            for batch in self._file.iter_batches(ROWS_AT_ONCE, columns=list(columns)):
                table = pa.Table.from_batches([batch]).select(list(columns))
                table.validate(full=True)
                for at, name in enumerate(columns):
                    column = table[name].cast(pa.string())
                    table = table.set_column(at, name, column.dictionary_encode() if name in coded else column)
                take(table, np.arange(rows + 1, rows + len(table) + 1))
                rows += len(table)
        return Account(rows, NONE_REJECTED, ())

    def types(self) -> dict[str, pa.DataType]:
        """Of the columns of a Parquet file."""
        return {field.name: field.type for field in self._file.schema_arrow}

    @property
    def on_disk(self) -> Path:
        """The file that holds it: itself, or the archive."""
        return self._tree.on_disk(self._name)

    @property
    def is_plain_parquet(self) -> bool:
        """Whether it is a Parquet file on disk, neither packed nor in an archive, without structs."""
        return self._parquet and not self._structs and not self._tree.is_archive and not _packed(self._name)

    def _source(self) -> Any:
        return io.BytesIO(self._tree.read(self._name)) if self._tree.is_archive or _packed(self._name) else self.on_disk

    def _all(self) -> pa.Table:
        content = self._tree.read(self._name)
        try:
            return pa.ipc.open_file(pa.BufferReader(content)).read_all()
        except pa.ArrowInvalid:
            return pa.ipc.open_stream(pa.BufferReader(content)).read_all()


class SheetFile:
    """A spreadsheet (`recstage.data.tables.table.TableFile`): the sheet that is named, or the first with a table."""

    unit = "row"

    def __init__(self, tree: FileTree, name: str, sheet: str | None = None) -> None:
        self.where = tree.label(name)
        sheets = _sheets(tree, name)
        if sheet is not None and sheet not in sheets:
            raise DataError(f"{self.where}: sheet '{sheet}'", rule="no such sheet", fix=valid_names(sheet, sheets))
        tables = {sheet: sheets[sheet]} if sheet is not None else sheets
        cut = {label: found for label, frame in tables.items() if (found := _header_row(frame)) is not None}
        if not cut:
            raise DataError(self.where, rule="has no sheet with rows", fix="Give a sheet with a header and rows")
        label = next(
            (label for label, at in cut.items() if any(map(is_usual, map(str, tables[label].iloc[at])))),
            next(iter(cut)),
        )
        if len(sheets) > 1:
            self.where = f"{self.where} ({label})"
        at, frame = cut[label], tables[label]
        header = ["" if pd.isna(cell) else str(cell) for cell in frame.iloc[at]]
        self.has_header = names_columns(header)
        names, self._notes = (
            unique_names(header) if self.has_header else ([f"column_{n + 1}" for n in range(len(header))], [])
        )
        self.names = tuple(names)
        body = frame.iloc[at + self.has_header :]
        self._frame = body.set_axis(list(names), axis="columns").set_axis(body.index + 1, axis="index")
        self._frame = self._frame[self._frame.notna().any(axis=1)]
        self.rows = tuple(
            tuple("" if pd.isna(v) else str(v) for v in row)
            for row in self._frame.head(SAMPLE_ROWS).itertuples(index=False)
        )

    def read(self, columns: Sequence[str] | None = None, coded: Collection[str] = ()) -> Table:
        """Cells as the sheet types them (numbers as float, dates as such); rows without any cell are no rows."""
        frame = self._frame[list(columns)] if columns is not None else self._frame
        return Table(frame, len(frame), places=Places(unit="row"), notes=tuple(self._notes))


def _sheets(tree: FileTree, name: str) -> dict[str, pd.DataFrame]:
    content = tree.read(name)
    try:
        found = pd.read_excel(
            io.BytesIO(content), sheet_name=None, header=None, dtype=object, engine="calamine", keep_default_na=False
        )
        return {str(label): frame.replace("", None) for label, frame in found.items()}
    except Exception as error:  # calamine raises errors of its own that share no base
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            tree.label(name), rule=f"cannot be read as a spreadsheet ({reason})", fix="Save it anew, or as CSV"
        ) from error


def _header_row(frame: pd.DataFrame) -> int | None:
    """The first row of a sheet with at least two cells."""
    if not len(frame):
        return None
    several = np.flatnonzero(frame.notna().sum(axis=1).to_numpy() > 1)
    return int(several[0]) if len(several) else None


def _ending(name: str) -> str:
    return Path(unpacked(name)).suffix.lower()


def _packed(name: str) -> bool:
    return unpacked(name) != name


def _flattened(table: pa.Table) -> pa.Table:
    for _ in range(3):
        if not any(pa.types.is_struct(one.type) for one in table.schema):
            break
        table = table.flatten()
    return table


def _series(column: pa.ChunkedArray, coded: bool) -> pd.Series:
    """A column for pandas: whole numbers stay whole beside nulls, lists and maps are Python's."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width == 16:
        return pd.Series([None if v is None else v.hex() for v in column.to_pylist()], dtype=object)
    if coded and (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind) or _is_view(kind)
    ):
        return pd.Series(column.cast(pa.string()).dictionary_encode().unify_dictionaries().to_pandas())
    if pa.types.is_integer(kind) and column.null_count:
        return (
            column.to_pandas(types_mapper={kind: pd.Int64Dtype()}.get)
            if kind == pa.int64()
            else pd.Series(column.to_pylist(), dtype=object)
        )
    if pa.types.is_boolean(kind) or pa.types.is_nested(kind) or pa.types.is_decimal(kind):
        return pd.Series(column.to_pylist(), dtype=object)
    try:
        return column.to_pandas()
    except pa.ArrowException:  # moments outside of pandas's years
        return pd.Series(column.to_pylist(), dtype=object)


def _is_view(kind: pa.DataType) -> bool:
    return str(kind) == "string_view"
