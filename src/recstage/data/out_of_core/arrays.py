"""Rows of interactions on disk while they are made: Parquet as the cache has it, and arrays that are mapped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib import format as npy
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import IdMap, Interactions
from recstage.data.split import PARTS, Split
from recstage.data.tables.values.columns import Columns

COLUMNS: Mapping[str, type] = {
    "user_index": np.int32,
    "item_index": np.int32,
    "weight": np.float32,
    "timestamp": np.int64,
}
FIT, NEGATIVES = "train_and_validation", "negatives.npy"
ROW_GROUP = 1024 * 1024
"""Rows, as `pyarrow.parquet.write_table` writes them: the same rows give the same file."""


class ArrayFile:
    """A one-dimensional .npy file that grows at its end."""

    def __init__(self, path: Path, dtype: type) -> None:
        self._stream: BinaryIO = path.open("wb")
        self._dtype, self.length = np.dtype(dtype), 0
        self._head()

    def append(self, values: NDArray) -> None:
        self._stream.write(np.ascontiguousarray(values, self._dtype).data)
        self.length += len(values)

    def close(self) -> None:
        """Writes the length into the header, which NumPy pads so that any length fits."""
        if not self._stream.closed:
            self._stream.seek(0)
            self._head()
            self._stream.close()

    def _head(self) -> None:
        head = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self.length,)}
        npy.write_array_header_1_0(self._stream, head)


class PartFiles:
    """One part of a split: rows in order of user and time, appended in blocks of users. `parquet` and `matrix` say
    whether it is written as the cache's Parquet file, and as a CSR matrix of its positive weights as well."""

    def __init__(self, folder: Path, name: str, *, parquet: bool = True, matrix: bool = False) -> None:
        self._columns = {column: ArrayFile(folder / f"{name}.{column}.npy", dtype) for column, dtype in COLUMNS.items()}
        self._parquet = RowGroups(folder / f"{name}.parquet") if parquet else None
        self._matrix = _MatrixFiles(folder, name) if matrix else None
        self._lengths: list[NDArray[np.int64]] = []
        self._indptr = folder / f"{name}.indptr.npy"

    def append(self, rows: Interactions, first_user: int) -> None:
        """The next users' rows; their indices count from `first_user`."""
        columns = {name: getattr(rows, name) for name in COLUMNS}
        columns["user_index"] = columns["user_index"] + np.int32(first_user)
        for name, values in columns.items():
            self._columns[name].append(values)
        if self._parquet is not None:
            self._parquet.append(columns)
        if self._matrix is not None:
            self._matrix.append(rows)
        self._lengths.append(rows.lengths)

    def close(self) -> None:
        for column in self._columns.values():
            column.close()
        if self._parquet is not None:
            self._parquet.close()
        if self._matrix is not None:
            self._matrix.close()
        np.save(self._indptr, _offsets(self._lengths))


class RowGroups:
    """A Parquet file of interactions in full row groups."""

    def __init__(self, path: Path) -> None:
        schema = pa.schema([(name, pa.from_numpy_dtype(dtype)) for name, dtype in COLUMNS.items()])
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def append(self, columns: Mapping[str, NDArray]) -> None:
        self._waiting.append(pa.table(dict(columns), schema=self._writer.schema))
        self._rows += len(columns["weight"])
        if self._rows >= ROW_GROUP:
            table = pa.concat_tables(self._waiting)
            whole = self._rows - self._rows % ROW_GROUP
            for start in range(0, whole, ROW_GROUP):
                self._write(table.slice(start, ROW_GROUP))
            rest = table.slice(whole)
            self._waiting, self._rows = [rest.take(np.arange(len(rest)))], len(rest)

    def close(self) -> None:
        if self._rows or not self._wrote:
            self._write(pa.concat_tables(self._waiting) if self._waiting else self._writer.schema.empty_table())
        self._writer.close()

    _wrote = False

    def _write(self, table: pa.Table) -> None:
        self._writer.write_table(table.combine_chunks(), row_group_size=ROW_GROUP)
        self._wrote = True


class _MatrixFiles:
    def __init__(self, folder: Path, name: str) -> None:
        self._indices = ArrayFile(folder / f"{name}.matrix.indices.npy", np.int32)
        self._data = ArrayFile(folder / f"{name}.matrix.data.npy", np.float32)
        self._indptr = folder / f"{name}.matrix.indptr.npy"
        self._lengths: list[NDArray[np.int64]] = []

    def append(self, rows: Interactions) -> None:
        matrix = rows.matrix
        self._indices.append(matrix.indices)
        self._data.append(matrix.data)
        self._lengths.append(np.diff(matrix.indptr).astype(np.int64))

    def close(self) -> None:
        self._indices.close()
        self._data.close()
        np.save(self._indptr, _offsets(self._lengths))


def is_mapped(folder: Path, name: str) -> bool:
    """Whether a part lies as arrays in a folder."""
    return (folder / f"{name}.indptr.npy").is_file()


def mapped(folder: Path, name: str, users: IdMap, items: IdMap, ordered: bool, profiles: Columns) -> Interactions:
    """A part over its mapped arrays: the operating system reads what is asked for, and lets go of it again. Raises
    `OSError`, `ValueError`."""

    def array(what: str) -> NDArray:
        return np.load(folder / f"{name}.{what}.npy", mmap_mode="r", allow_pickle=False)

    columns = {column: array(column) for column in COLUMNS}
    matrix = None
    if (folder / f"{name}.matrix.indptr.npy").is_file():
        indices, indptr = array("matrix.indices"), array("matrix.indptr")
        narrow = np.int32 if len(indices) <= np.iinfo(np.int32).max else np.int64
        matrix = sparse.csr_matrix(
            (array("matrix.data"), indices.astype(narrow, copy=False), indptr.astype(narrow)),
            shape=(len(users), len(items)),
            copy=False,
        )
        matrix.has_canonical_format = True
    return Interactions.stored(
        users, items, **columns, ordered=ordered, profiles=profiles, indptr=array("indptr"), matrix=matrix
    )


def mapped_split(
    folder: Path,
    method: str,
    users: IdMap,
    items: IdMap,
    negatives: NDArray[np.int32] | None,
    left_out: dict[str, int],
    ordered: bool,
    profiles: Columns,
) -> Split:
    """A split over the arrays of its parts. Raises as `mapped`."""
    train, validation, test, fit = (mapped(folder, name, users, items, ordered, profiles) for name in (*PARTS, FIT))
    return Split(method, train, validation, test, negatives, left_out, fit)


def _offsets(lengths: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    counted = np.concatenate(lengths) if lengths else np.empty(0, np.int64)
    return np.concatenate([[0], np.cumsum(counted)]).astype(np.int64)
