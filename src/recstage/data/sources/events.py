"""Tables of events: delimited text or Parquet, packed or not, one row an event, columns mapped to ours."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recstage.config import EventsSource
from recstage.data.files.delimited import header_of, numbers, read_delimited, separator_of, without_unparsable
from recstage.data.files.file_tree import FileTree, damaged_is_an_error, unpacked
from recstage.data.files.timestamps import seconds_of
from recstage.data.schema import EVENT_COLUMNS, ITEM, TIME, TYPE, USER, VALUE, RawData, Unparsable
from recstage.data.sources.item_files import read_items
from recstage.errors import DataError, valid_names

FORMATS = (".csv", ".tsv", ".txt", ".parquet")
USUAL_NAMES: dict[str, tuple[str, ...]] = {
    USER: (USER, "userId", "user", "uid", "customer_id", "visitorid"),
    ITEM: (ITEM, "itemId", "item", "movieId", "movie_id", "product_id", "article_id", "itemid"),
    TIME: (TIME, "time", "ts", "datetime", "date", "event_time", "created_at", "position", "rank"),
    TYPE: (TYPE, "type", "event", "event_type", "action"),
    VALUE: (VALUE, "rating", "stars", "duration"),
}
"""What columns are called elsewhere; used for those that `columns` does not map."""


def files(config: EventsSource) -> list[Path]:
    """The files that `read` reads."""
    tree = FileTree(config.path)
    return sorted({tree.on_disk(_table_in(tree)), *([Path(config.items_path)] if config.items_path else [])})


def read(config: EventsSource) -> RawData:
    """Raises `DataError` where the path holds no such table, it is empty or damaged, or a column is missing."""
    tree = FileTree(config.path)
    name = _table_in(tree)
    reader = _parquet if unpacked(name).lower().endswith(".parquet") else _delimited
    table, unparsable = reader(tree, name, config)
    parsed: dict[str, pd.Series] = {}
    is_clock = False
    if TIME in table:
        parsed[TIME], is_clock = seconds_of(table[TIME], config.time)
    if VALUE in table:
        parsed[VALUE] = numbers(table[VALUE])
    table, parsed, more = without_unparsable(table, parsed)
    events = pd.DataFrame({USER: table[USER], ITEM: table[ITEM]})
    events[TIME] = parsed.get(TIME, np.arange(len(table), dtype=np.float64))
    events[TYPE] = table[TYPE] if TYPE in table else pd.Categorical([config.default_type]).repeat(len(table))
    events[VALUE] = parsed.get(VALUE, np.nan)
    if is_clock and (events[TIME] % 1 != 0).any():
        events = events.sort_values(TIME, kind="stable")  # the order within a second, before fractions are cut off
    return RawData(
        events=events,
        items=read_items(config.items_path) if config.items_path else None,
        time_is_clock=is_clock,
        unparsable=unparsable + more,
    )


def is_table(tree: FileTree, name: str) -> bool:
    """Whether the file has columns of user and item ids under any usual name."""
    try:
        if unpacked(name).lower().endswith(".parquet"):
            names = _parquet_file(tree, name).schema_arrow.names
        else:
            content = tree.read(name)
            names = header_of(content, separator_of(content, name))
        return bool(mapped(names, EventsSource(path=""), name))
    except DataError:
        return False


def _table_in(tree: FileTree) -> str:
    if tree.path.is_file() and not tree.is_archive:
        return tree.names[0]
    tables = tree.ending(*FORMATS)
    if len(tables) > 1:
        tables = [name for name in tables if is_table(tree, name)]
    if len(tables) != 1:
        raise DataError(
            str(tree.path),
            rule=f"must hold one table of events, and has {len(tables)} ({', '.join(FORMATS)})",
            fix="Name the file",
        )
    return tables[0]


def _delimited(tree: FileTree, name: str, config: EventsSource) -> tuple[pd.DataFrame, Unparsable]:
    content, where = tree.read(name), tree.label(name)
    if not content.strip():
        raise DataError(where, rule="is empty", fix="Give a file with rows")
    separator = config.separator or separator_of(content, where)
    ours = mapped(header_of(content, separator), config, where)
    coded = [ours[column] for column in (USER, ITEM, TYPE) if column in ours]
    table, unparsable = read_delimited(content, where, separator=separator, coded=coded, keep=list(ours.values()))
    return table.rename(columns={theirs: column for column, theirs in ours.items()}), unparsable


def _parquet(tree: FileTree, name: str, config: EventsSource) -> tuple[pd.DataFrame, Unparsable]:
    where = tree.label(name)
    file = _parquet_file(tree, name)
    ours = mapped(file.schema_arrow.names, config, where)
    with damaged_is_an_error(tree.on_disk(name)):
        table = file.read(columns=list(ours.values()))
    columns = {column: table[theirs] for column, theirs in ours.items()}
    for column in (USER, ITEM, TYPE):
        if column in columns and not pa.types.is_dictionary(columns[column].type):
            columns[column] = columns[column].cast(pa.string()).dictionary_encode()
    return pa.table(columns).to_pandas().set_axis(np.arange(1, len(table) + 1), axis="index"), Unparsable()


def _parquet_file(tree: FileTree, name: str) -> pq.ParquetFile:
    with damaged_is_an_error(tree.on_disk(name)):
        return pq.ParquetFile(io.BytesIO(tree.read(name)) if tree.is_archive else tree.on_disk(name))


def mapped(names: list[str], config: EventsSource, where: str) -> dict[str, str]:
    """Our column to the file's, of those that the file has. Raises `DataError` on a wrong mapping and missing ids."""
    for ours, theirs in config.columns.items():
        if ours not in EVENT_COLUMNS:
            raise DataError(
                f"source.columns.{ours}", rule="no such column of ours", fix=valid_names(ours, EVENT_COLUMNS)
            )
        if theirs not in names:
            raise DataError(
                f"{where}: column '{theirs}' for {ours}",
                rule="the file has no such column",
                fix=valid_names(theirs, names),
            )
    usual = {
        column: name
        for column, candidates in USUAL_NAMES.items()
        if (name := next((c for c in candidates if c in names), None)) is not None
    }
    found = {**usual, **config.columns}
    missing = [column for column in (USER, ITEM) if column not in found]
    if missing:
        raise DataError(
            f"{where}: columns {', '.join(names)}",
            rule=f"no column for {' and '.join(missing)}",
            fix="Map them in source.columns, as in user_id: customer",
        )
    return found
