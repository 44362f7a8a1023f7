"""Prepared data sets, and how they lie on disk: a folder of Parquet each, named by fingerprint, whole or not there."""

from __future__ import annotations

import glob
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from numpy.typing import NDArray

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions
from recstage.data.out_of_core import arrays
from recstage.data.report.page import page
from recstage.data.schema import CONTEXT, ITEM, USER
from recstage.data.snapshots.exposures import ARROW_SCHEMA
from recstage.data.split import PARTS, Split
from recstage.data.tables.values.columns import Columns
from recstage.errors import DataError, StoreError

CONTENTS, REPORT, PAGE = "dataset.json", "report.json", "report.html"
EXPOSURES = "exposures"
LOCKS = ".locks"
ARROW_KINDS = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "list": pa.list_(pa.string()),
    "text": pa.string(),
}
UNREADABLE = (OSError, ValueError, KeyError, TypeError, pa.ArrowException, DataError)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set as steps use it. `fingerprint` is equal exactly where what decides the data is; `report` counts what
    was read, dropped and left out; `time_is_clock` is false where timestamps are ranks. `exposures`: pairs that were
    shown, and whether they were chosen (columns of `recstage.data.snapshots.exposures`); None where the source does not
    know."""

    name: str
    split: Split
    catalogue: Catalogue
    fingerprint: str
    time_is_clock: bool
    report: dict[str, Any]
    exposures: pd.DataFrame | None = None

    @property
    def ordered(self) -> bool:
        """Whether times say what each user did first; false: no recency, no sequence, a split drawn by its seed."""
        return self.split.train.ordered


class Folder:
    """Where one prepared data set lies in a cache."""

    def __init__(self, cache: Path, name: str, fingerprint: str) -> None:
        self.cache, self.name, self.fingerprint = cache, name, fingerprint
        self.path = cache / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('.-')}-{fingerprint}"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held while the data set is made, so that two processes do not do the same work. Raises `StoreError` where the
        cache cannot be written."""
        try:
            (self.cache / LOCKS).mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.cache / LOCKS / f"{self.path.name}.lock")
            lock.acquire()
        except OSError as error:
            raise _refused(self.cache, error) from error
        try:
            yield
        finally:
            lock.release()

    def read(self) -> Dataset | None:
        """The data set; None where it is not there or damaged."""
        try:
            contents = json.loads((self.path / CONTENTS).read_text())
            for file, digest in contents["files"].items():
                if _digest(self.path / file) != digest:
                    return None
            return self._assembled(contents)
        except UNREADABLE:
            return None

    def previous(self) -> Dataset | None:
        """The last prepared data set of the same name with another fingerprint; None where there is none that can be
        read."""
        stem = self.path.name.removesuffix(self.fingerprint)
        others = [path for path in self.cache.glob(f"{glob.escape(stem)}*/{CONTENTS}") if path.parent != self.path]
        for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
            fingerprint = path.parent.name.removeprefix(stem)
            if re.fullmatch("[0-9a-f]{16}", fingerprint):
                return Folder(self.cache, self.name, fingerprint).read()
        return None

    @contextmanager
    def making(self) -> Iterator[Path]:
        """A folder of another name for the files of the data set, which `finish` renames; gone whatever goes wrong.
        Use it under `lock`. Raises `StoreError` where the cache cannot be written."""
        partial = self.cache / f".{self.path.name}.partial"
        try:
            shutil.rmtree(partial, ignore_errors=True)  # what a killed process has left
            partial.mkdir(parents=True)
            yield partial
        except OSError as error:
            raise _refused(self.cache, error) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def finish(self, dataset: Dataset, partial: Path) -> None:
        """Writes the files that are not in `partial` yet, and renames it."""
        for name, table in _tables(dataset, partial).items():
            pq.write_table(table, partial / f"{name}.parquet", compression="zstd")
        shown = {"name": dataset.name, "fingerprint": dataset.fingerprint, "split": dataset.split.method}
        (partial / PAGE).write_text(page(dataset.report, **shown))
        (partial / REPORT).write_text(json.dumps({**shown, **dataset.report}, indent=1))
        contents = {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "method": dataset.split.method,
            "time_is_clock": dataset.time_is_clock,
            "ordered": dataset.ordered,
            "left_out": dataset.split.left_out,
            "report": dataset.report,
            "files": {file.name: _digest(file) for file in sorted(partial.iterdir())},
        }
        (partial / CONTENTS).write_text(json.dumps(contents, indent=1))
        shutil.rmtree(self.path, ignore_errors=True)  # nothing, or a damaged one
        partial.rename(self.path)

    def _assembled(self, contents: dict[str, Any]) -> Dataset:
        described = self._table("users")
        users, profiles = IdMap(_objects(described, USER)), _columns(described, besides=(USER,))
        catalogue_frame = self._table("catalogue")
        items = IdMap(_objects(catalogue_frame, ITEM))
        negatives = None
        if arrays.NEGATIVES in contents["files"]:
            negatives = np.load(self.path / arrays.NEGATIVES, mmap_mode="r")
        elif "negatives.parquet" in contents["files"]:
            negatives = _matrix(self._table("negatives"))
        catalogue = Catalogue.from_frame(catalogue_frame.to_pandas(), items)
        split = self._split(contents, users, items, negatives, profiles)
        shown = self._table(EXPOSURES).to_pandas() if f"{EXPOSURES}.parquet" in contents["files"] else None
        return Dataset(
            self.name, split, catalogue, self.fingerprint, contents["time_is_clock"], contents["report"], shown
        )

    def _split(
        self,
        contents: dict[str, Any],
        users: IdMap,
        items: IdMap,
        negatives: NDArray[np.int32] | None,
        profiles: Columns,
    ) -> Split:
        method, left_out, ordered = (contents[name] for name in ("method", "left_out", "ordered"))
        if arrays.is_mapped(self.path, arrays.FIT):
            return arrays.mapped_split(self.path, method, users, items, negatives, left_out, ordered, profiles)
        train, validation, test = (_interactions(self._table(part), users, items, ordered, profiles) for part in PARTS)
        return Split(method, train, validation, test, negatives, left_out)

    def _table(self, name: str) -> pa.Table:
        return pq.read_table(self.path / f"{name}.parquet", memory_map=False)


def _tables(dataset: Dataset, partial: Path) -> dict[str, pa.Table]:
    split = dataset.split
    tables = {}
    for part in PARTS:
        if not (partial / f"{part}.parquet").exists():
            rows = getattr(split, part)
            columns = {column: getattr(rows, column) for column in arrays.COLUMNS}
            moment = {f"{CONTEXT}{name}": _written(values) for name, values in rows.context.items()}
            tables[part] = pa.table({**columns, **moment})
    described = {name: _written(values) for name, values in split.train.profiles.items()}
    tables["users"] = pa.table({USER: pa.array(split.train.users.ids, pa.string()), **described})
    frame = dataset.catalogue.to_frame()
    schema = pa.schema(
        {
            ITEM: pa.string(),
            "title": pa.string(),
            "text": pa.string(),
            "categories": pa.list_(pa.string()),
            "available": pa.bool_(),
            **{name: ARROW_KINDS[kind] for name, kind in dataset.catalogue.attribute_kinds.items()},
        }
    )
    tables["catalogue"] = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    if dataset.exposures is not None:
        tables[EXPOSURES] = pa.Table.from_pandas(dataset.exposures, schema=ARROW_SCHEMA, preserve_index=False)
    if split.negatives is not None and split.negatives.shape[1]:
        flat = pa.array(split.negatives.ravel())
        tables["negatives"] = pa.table(
            {"candidates": pa.FixedSizeListArray.from_arrays(flat, split.negatives.shape[1])}
        )
    return tables


def _interactions(table: pa.Table, users: IdMap, items: IdMap, ordered: bool, profiles: Columns) -> Interactions:
    columns = {name: table[name].to_numpy() for name in arrays.COLUMNS}
    moment = {
        name.removeprefix(CONTEXT): values for name, values in _columns(table, besides=tuple(arrays.COLUMNS)).items()
    }
    return Interactions(users, items, **columns, ordered=ordered, profiles=profiles, context=moment)


def _written(values: NDArray) -> pa.Array:
    return pa.array(values, pa.string() if values.dtype == object else pa.float64())


def _columns(table: pa.Table, besides: Sequence[str]) -> Columns:
    return {
        name: _objects(table, name) if pa.types.is_string(table.schema.field(name).type) else table[name].to_numpy()
        for name in table.column_names
        if name not in besides
    }


def _matrix(table: pa.Table) -> NDArray[np.int32]:
    lists = table["candidates"].combine_chunks()
    return lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), -1).astype(np.int32)


def _objects(table: pa.Table, column: str) -> NDArray[np.object_]:
    return np.array(table[column].to_pylist(), dtype=object)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _refused(cache: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the data cache {cache}",
        rule=f"cannot be written ({error.strerror or error})",
        fix="Free space or mend its permissions",
    )
