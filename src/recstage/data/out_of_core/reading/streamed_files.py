"""Files of events that are never whole in memory: Parquet is read by the engine itself, text in blocks.

What a column means is sometimes found out from all of its values (which of several writings its dates are in, whether a
comma parts thousands). Where that could be so, `NeedsWholeColumns` says it, and the source is read in memory instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recstage.config import EventsSource
from recstage.data.event_log import TEST, TRAIN, VALIDATION
from recstage.data.out_of_core.reading.column_forms import NeedsWholeColumns, WrittenTimes, values_of
from recstage.data.out_of_core.reading.raw_events import RawEvents, file_of, quoted, select
from recstage.data.out_of_core.reading.spill import Spill
from recstage.data.schema import ITEM, TIME, TYPE, USER, VALUE, Places, Rejected
from recstage.data.sources.events import Columns, tables_of
from recstage.data.sources.item_files import items_of, rejected_of
from recstage.data.sources.user_files import notes_of, users_of
from recstage.data.tables.delimited import DelimitedFile
from recstage.data.tables.names import filled_of
from recstage.data.tables.opening import labels_of
from recstage.data.tables.partitions import PartitionedFile
from recstage.data.tables.typed import ArrowFile
from recstage.data.tables.values.shown import shown
from recstage.errors import DataError

IDS = {"user": USER, "item": ITEM, "kind": TYPE}


@dataclass(frozen=True)
class Part:
    """One file: its number among all, what it is held out for (`TRAIN`: nothing), its columns, and those that its
    folders name."""

    number: int
    held_out: int
    columns: Columns
    file: Any
    constants: Mapping[str, str]

    @property
    def first_position(self) -> int:
        return self.number << Places.BITS

    def theirs(self, ours: str) -> str | None:
        return self.columns.ours.get(ours)


def streamed(config: EventsSource, folder: Path) -> RawEvents:
    """The files of a source of events. Raises as `recstage.data.sources.events.read`, and `NeedsWholeColumns`."""
    paths = {TRAIN: config.path, VALIDATION: config.validation_path, TEST: config.test_path}
    files = [(part, *one) for part, path in paths.items() if path for one in tables_of(path, config)]
    if not any(part == TRAIN for part, _, _ in files):
        raise DataError(config.path, rule="holds no table of events", fix="Give one file, or a folder of parts")
    if config.validation_path and not config.test_path:
        raise NeedsWholeColumns("validation rows without test rows")
    filled = filled_of(files[0][2].names, files[0][2].rows)
    parts = [
        _part(number, held_out, Columns.of(file, config, filled)) for number, (held_out, _, file) in enumerate(files)
    ]
    labels = labels_of([place for _, place, _ in files])
    if any(part.columns.date or part.columns.parts for part in parts):
        raise NeedsWholeColumns("times in several columns")
    if len({tuple(sorted(part.columns.ours)) for part in parts}) > 1:
        raise NeedsWholeColumns("parts with different columns")
    if all(_holds_text(part) for part in parts):
        found = _of_text(parts, labels, config, folder)
    elif all(isinstance(part.file, ArrowFile) for part in parts):
        found = _of_parquet(parts, labels, config)
    elif all(isinstance(part.file, DelimitedFile) for part in parts):
        found = _of_text(parts, labels, config, folder)
    else:
        raise NeedsWholeColumns("a format that is read whole")
    items, users = items_of(config), users_of(config)
    notes = () if items is None else tuple(f"items: {note}" for note in items.notes)
    return RawEvents(
        **found,
        rule=config.ids,
        has_held_out=any(part.held_out != TRAIN for part in parts),
        notes_behind=(*notes, *notes_of(users)),
        users=None if users is None else users.frame,
        items=None if items is None else items.frame,
        items_rejected=rejected_of(items),
    )


def _part(number: int, held_out: int, columns: Columns) -> Part:
    file = columns.file
    if isinstance(file, PartitionedFile):
        return Part(number, held_out, columns, file.file, file.constants)
    return Part(number, held_out, columns, file, {})


# -- Parquet -----------------------------------------------------------------------------------------------------------


def _of_parquet(parts: Sequence[Part], labels: Sequence[str], config: EventsSource) -> dict[str, Any]:
    selects, rows, of_numbers = [], 0, False
    for part in parts:
        path = part.file.on_disk
        if not part.file.is_plain_parquet:
            raise NeedsWholeColumns("packed files, or Arrow files")
        described = pq.ParquetFile(path)
        kinds = {field.name: field.type for field in described.schema_arrow}
        rows += described.metadata.num_rows
        time = _time(part, kinds, config)
        value = _number(part, kinds, VALUE)
        ids = {
            name: _text(part, kinds, ours, config) for name, ours in (("user", USER), ("item", ITEM), ("kind", TYPE))
        }
        lost = [f"WHEN isinf({column}) THEN {code}" for column, code in ((time, 1), (value, 2)) if "DOUBLE" in column]
        of_numbers = of_numbers or "DOUBLE" in time
        columns = [
            f"{part.first_position + 1} + file_row_number AS position",
            f"{part.held_out}::TINYINT AS part",
            *(f"{sql} AS {_named(name)}" for name, sql in ids.items()),
            f"{_known(time)} AS time",
            f"{_known(value)} AS value",
            f"(CASE {' '.join(lost)} ELSE 0 END)::TINYINT AS lost" if lost else "0::TINYINT AS lost",
        ]
        file = f"read_parquet({file_of(path)}, file_row_number = true, hive_partitioning = false)"
        selects.append(f"SELECT {', '.join(columns)} FROM {file}")
    timed = parts[0].theirs(TIME) is not None
    return {
        "sql": " UNION ALL ".join(selects),
        "rows_read": rows,
        "places": Places(tuple(labels), "row"),
        "number_form": config.time if of_numbers else None,
        "notes": _notes(parts, labels, [()] * len(parts)),
        "time_is_clock": timed,
        "ordered": timed,
    }


def _text(part: Part, kinds: Mapping[str, pa.DataType], ours: str, config: EventsSource) -> str:
    name = part.theirs(ours)
    if name is None:
        return f"{quoted(config.default_type)}::VARCHAR"
    if name in part.constants:
        value = part.constants[name]
        return f"{quoted(value)}::VARCHAR" if value else "NULL::VARCHAR"
    kind = kinds.get(name)
    if kind is not None and pa.types.is_dictionary(kind):
        kind = kind.value_type
    if kind is None or not (_is_text(kind) or pa.types.is_integer(kind)):
        raise NeedsWholeColumns(f"{name}, which is no column of text or whole numbers")
    return f"{_named(name)}::VARCHAR"


def _time(part: Part, kinds: Mapping[str, pa.DataType], config: EventsSource) -> str:
    name = part.theirs(TIME)
    if name is None:
        if config.time == "rank":
            raise NeedsWholeColumns("ranks that are the places of the rows")
        return "0.0"
    kind = kinds.get(name)
    if kind is not None and pa.types.is_timestamp(kind) and kind.unit != "ns" and config.time in ("auto", "iso"):
        if kind.tz is None and config.zone != "UTC":
            raise NeedsWholeColumns("times of a zone")
        return f"epoch_us({_named(name)}) / 1e6"
    if config.time not in ("auto", "seconds", "milliseconds", "rank"):
        raise NeedsWholeColumns("dates as they are written")
    return _number(part, kinds, TIME)


def _number(part: Part, kinds: Mapping[str, pa.DataType], ours: str) -> str:
    name = part.theirs(ours)
    if name is None:
        return "NULL"
    kind = kinds.get(name)
    if kind is None or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise NeedsWholeColumns(f"{name}, which is no column of numbers")
    return f"{_named(name)}::DOUBLE"


def _known(sql: str) -> str:
    return f"CASE WHEN NOT isnan({sql}) THEN {sql} END" if "DOUBLE" in sql else f"({sql})::DOUBLE"


def _named(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# -- delimited text, and Parquet whose times and values are text as in a snapshot of a database ------------------------


def _holds_text(part: Part) -> bool:
    """Whether a file is Parquet of which times and values, where it has any, are text."""
    if not isinstance(part.file, ArrowFile) or not part.file.is_plain_parquet:
        return False
    types = part.file.types()
    given = [name for name in map(part.theirs, (TIME, VALUE)) if name is not None]
    ids = [name for name in map(part.theirs, (USER, ITEM, TYPE)) if name is not None and name not in part.constants]
    return (
        bool(given)
        and all(name in types and _is_text(types[name]) for name in given)
        and all(_is_text(types[name]) or pa.types.is_integer(types[name]) for name in ids)
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _of_text(parts: Sequence[Part], labels: Sequence[str], config: EventsSource, folder: Path) -> dict[str, Any]:
    if parts[0].theirs(TIME) is None and config.time == "rank":
        raise NeedsWholeColumns("ranks that are the places of the rows")
    spill, times = Spill(folder / "events.parquet"), WrittenTimes(config)
    rejected, rows, notes = Rejected(), 0, []
    lost: dict[int, str] = {}
    try:
        for part, label in zip(parts, labels, strict=True):
            wanted = [name for name in part.columns.ours.values() if name not in part.constants]
            coded = {part.theirs(ours) for ours in (USER, ITEM, TYPE)} - {None, *part.constants}
            account = part.file.stream(wanted, coded, _taking(part, spill, times, config, lost))
            rows += account.rows_read
            several = len(parts) > 1
            first = {
                reason: tuple(f"{label} {one}" if several else one for one in some)
                for reason, some in account.rejected.first.items()
            }
            rejected += Rejected(account.rejected.counts, first)
            notes.append(account.notes)
    finally:
        spill.close()
    timed = parts[0].theirs(TIME) is not None
    return {
        "sql": select(spill.path),
        "texts": spill.all_texts,
        "rows_read": rows,
        "rejected": rejected,
        "places": Places(tuple(labels), parts[0].file.unit),
        "lost": lost,
        "number_form": config.time if timed and not times.is_iso else None,
        "notes": _notes(parts, labels, notes),
        "time_is_clock": timed,
        "ordered": timed,
    }


def _taking(
    part: Part, spill: Spill, times: WrittenTimes, config: EventsSource, lost: dict[int, str]
) -> Callable[[pa.Table, np.ndarray], None]:
    """What becomes of a block of rows."""

    def text(table: pa.Table, ours: str) -> pa.Array | pa.ChunkedArray:
        name = part.theirs(ours)
        if name is not None and name not in part.constants:
            return table[name]
        value = config.default_type if name is None else part.constants[name]
        return pa.DictionaryArray.from_arrays(
            pa.array(np.zeros(len(table), np.int32), mask=np.full(len(table), not value)), pa.array([value])
        )

    def take(table: pa.Table, lines: np.ndarray) -> None:
        position = lines + part.first_position
        time, value = part.theirs(TIME), part.theirs(VALUE)
        if {time, value} & set(part.constants):
            raise NeedsWholeColumns("times or values in the names of folders")
        seconds = np.zeros(len(table)) if time is None else times.of(table[time].to_pandas(), part.columns.file.where)
        values = np.full(len(table), np.nan) if value is None else values_of(table[value].to_pandas(), config.decimal)
        unread = np.zeros(len(table), np.int8)
        for name, found, code in ((value, values, 2), (time, seconds, 1)):
            if name is not None:
                gone = np.isnan(found) & np.asarray(table[name].is_valid())
                unread[gone] = code
                for at in np.flatnonzero(gone):
                    lost[int(position[at])] = shown(table[name][at].as_py())
        columns = {
            "position": position,
            "part": np.full(len(table), part.held_out, np.int8),
            "time": pa.array(seconds, from_pandas=True),
            "value": pa.array(values, from_pandas=True),
            "lost": unread,
        }
        texts = {name: text(table, ours) for name, ours in IDS.items()}
        spill.append(texts, columns, len(table))

    return take


def _notes(parts: Sequence[Part], labels: Sequence[str], read: Sequence[Sequence[str]]) -> tuple[str, ...]:
    notes = [
        f"{label}: {note}" if len(parts) > 1 else note
        for part, label, of_file in zip(parts, labels, read, strict=True)
        for note in (*of_file, *part.columns.notes)
    ]
    return tuple(notes)


__all__ = ["NeedsWholeColumns", "streamed"]
