"""What every reader of tables gives: columns, where each row stands, and an account of the rows that are not there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import pandas as pd

from recstage.data.schema import NONE_REJECTED, ONE_FILE, Places, Rejected


@dataclass(frozen=True)
class Table:
    """Rows of one or several files. `frame` is indexed by position (see `places`), null where a field is empty;
    `rows_read` = rows of `frame` + `rejected`."""

    frame: pd.DataFrame
    rows_read: int
    rejected: Rejected = NONE_REJECTED
    places: Places = ONE_FILE
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rows_read != len(self.frame) + self.rejected.total:
            raise AssertionError(
                f"{self.rows_read} rows read, {len(self.frame)} kept and {dict(self.rejected.counts)} rejected"
            )


@dataclass(frozen=True)
class Account:
    """What a reading came to beside its rows: how many there were, which are missing, and what there is to say."""

    rows_read: int
    rejected: Rejected
    notes: tuple[str, ...]


class TableFile(Protocol):
    """One file with a table. `where`: as messages call it; `names`: its columns; `unit`: what its rows are counted by;
    `has_header`: whether the names are the file's own; `rows`: the first of them, as text."""

    where: str
    unit: str
    has_header: bool
    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def read(self, columns: Sequence[str] | None = None, coded: Collection[str] = ()) -> Table:
        """Those columns (all by default); `coded` ones as categories where the format makes that cheaper."""
        ...


def joined(tables: Sequence[Table], labels: Sequence[str]) -> Table:
    """Tables of several files, one after the other, as one."""
    if len(tables) == 1:
        return tables[0]
    frames = []
    for at, table in enumerate(tables):
        frames.append(table.frame.set_axis(table.frame.index + (at << Places.BITS), axis="index"))
    rejected = Rejected()
    for table, label in zip(tables, labels, strict=True):
        first = {reason: tuple(f"{label} {one}" for one in some) for reason, some in table.rejected.first.items()}
        rejected += replace(table.rejected, first=first)
    return Table(
        _stacked(frames),
        sum(table.rows_read for table in tables),
        rejected,
        Places(tuple(labels), tables[0].places.unit),
        tuple(f"{label}: {note}" for table, label in zip(tables, labels, strict=True) for note in table.notes),
    )


def _stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    columns = {}
    index = frames[0].index.append([frame.index for frame in frames[1:]])
    for name in dict.fromkeys(name for frame in frames for name in frame):
        parts = [frame[name] if name in frame else pd.Series(None, frame.index, dtype=object) for frame in frames]
        if all(isinstance(part.dtype, pd.CategoricalDtype) for part in parts):
            columns[name] = pd.Series(pd.api.types.union_categoricals(parts), index)
        elif len({str(part.dtype) for part in parts}) == 1:
            columns[name] = pd.concat(parts)
        else:
            columns[name] = pd.concat([part.astype(object) for part in parts])
    return pd.DataFrame(columns, index=index)
