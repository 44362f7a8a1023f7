"""Columns in the names of folders, as Hive and Spark write them: `event=view/day=2026-01-05/part-0.parquet`."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from urllib.parse import unquote

import numpy as np
import pandas as pd

from recstage.data.tables.table import Table, TableFile

A_PARTITION = re.compile(r"([A-Za-z_][\w.-]*)=(.+)")
NOTHING = "__HIVE_DEFAULT_PARTITION__"


def partitions_of(path: str) -> dict[str, str]:
    """Column and value of each folder of a path that is called so; nothing is ''."""
    found = (A_PARTITION.fullmatch(part) for part in PurePosixPath(path).parts[:-1])
    return {unquote(one[1]): "" if one[2] == NOTHING else unquote(one[2]) for one in found if one}


class PartitionedFile:
    """A file with the columns of its folders beside its own (`recstage.data.tables.table.TableFile`). A column that
    the file has too is the file's."""

    def __init__(self, file: TableFile, columns: dict[str, str]) -> None:
        self.file = file
        self.constants = {name: value for name, value in columns.items() if name not in file.names}
        self.where, self.unit, self.has_header = file.where, file.unit, file.has_header
        self.names = (*file.names, *self.constants)
        width, values = len(file.names), tuple(self.constants.values())
        self.rows = tuple((*(*row, *[""] * width)[:width], *values) for row in file.rows)

    def read(self, columns: Sequence[str] | None = None, coded: Collection[str] = ()) -> Table:
        """Those columns (all by default); those of the folders as categories."""
        chosen = list(columns) if columns is not None else list(self.names)
        own = [name for name in chosen if name not in self.constants]
        table = self.file.read(own or self.file.names[:1], coded)
        frame = table.frame
        added = {name: _constant(self.constants[name], frame.index) for name in chosen if name in self.constants}
        return replace(table, frame=pd.DataFrame({name: added.get(name, frame.get(name)) for name in chosen}))


def _constant(value: str, index: pd.Index) -> pd.Series:
    codes = np.full(len(index), 0 if value else -1, np.int8)
    return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index([value], dtype=object)), index)
