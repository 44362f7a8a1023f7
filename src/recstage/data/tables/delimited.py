"""Delimited text, read in blocks: records are found by `records`, cut into columns by Arrow, and all accounted for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from tqdm import tqdm

from recstage.data.files.file_tree import FileTree
from recstage.data.schema import Places, Rejected
from recstage.data.tables.dialect import ONE_BYTE, SWAP, Dialect, dialect_of, evened_out, unwrapped
from recstage.data.tables.encodings import TextBlocks
from recstage.data.tables.records import Framer, Records
from recstage.data.tables.signatures import what_it_is
from recstage.data.tables.table import Account, Table
from recstage.data.tables.values.ids import NULLS
from recstage.errors import DataError

NO_VALUES = pa.array(sorted(NULLS), pa.string())
CODED = pa.dictionary(pa.int32(), pa.string())
SAMPLE = 1 << 18
SWAP_BYTES = bytes.maketrans(b"'\"", b"\"'")
FIELDS = "wrong number of fields"


class DelimitedFile:
    """A delimited file of a folder or archive (`recstage.data.tables.table.TableFile`).

    `names` where the file has no header and its columns are known. Raises `DataError` on an empty file, and where no
    separator cuts it.
    """

    unit = "line"

    def __init__(
        self,
        tree: FileTree,
        name: str,
        *,
        separator: str | None = None,
        encoding: str | None = None,
        header: bool | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self.where = tree.label(name)
        self._tree, self._name = tree, name
        with tree.open(name) as stream:
            blocks = TextBlocks(cast(BinaryIO, _Head(stream)), self.where, encoding)
            sample = b"".join(blocks)
            self._encoding, self._guessed = blocks.encoding if encoding is None else encoding, blocks.guessed
            self.encoding = blocks.shown
        if not sample.strip(b" \n\x00\t"):
            raise DataError(self.where, rule="is empty", fix="Give a file with rows")
        if len(sample) > SAMPLE // 2 and b"\n" in sample:
            sample = sample[: sample.rindex(b"\n")]  # the last line may be cut
        if (kind := what_it_is(blocks.head)) is not None:
            raise DataError(
                self.where,
                rule=f"is {kind}, and no table of lines",
                fix="Export it as CSV, JSON lines, Parquet or .xlsx",
            )
        text = sample.decode("utf-8", "replace")
        self.dialect: Dialect = dialect_of(text, self.where, separator=separator, header=header, names=names)
        self.names = self.dialect.names
        self.has_header = self.dialect.has_header or bool(names)
        self.rows = self.dialect.rows

    def read(self, columns: Sequence[str] | None = None, coded: Collection[str] = ()) -> Table:
        """Text columns, null where a field is empty, or, but in `coded` ones, says so (`NULLS`); rows with another
        number of fields are rejected. Raises `DataError` where the file cannot be read."""
        parts: list[tuple[pa.Table, np.ndarray]] = []
        chosen = list(columns) if columns is not None else list(self.names)
        account = self.stream(chosen, coded, lambda table, lines: parts.append((table, lines)))
        schema = pa.schema({name: CODED if name in coded else pa.string() for name in chosen})
        table = pa.concat_tables([one for one, _ in parts]) if parts else schema.empty_table()
        lines = np.concatenate([some for _, some in parts]) if parts else np.empty(0, np.int64)
        parts.clear()
        frame = table.unify_dictionaries().to_pandas(split_blocks=True, self_destruct=True)
        frame.index = pd.Index(lines)
        return Table(frame, account.rows_read, account.rejected, Places(unit="line"), account.notes)

    def stream(
        self, columns: Sequence[str], coded: Collection[str], take: Callable[[pa.Table, np.ndarray], None]
    ) -> Account:
        """`read` in blocks: `take` gets the rows of each, with their lines."""
        reading = _Reading(self, list(columns), coded, take)
        size = self._tree.size(self._name)
        bar = tqdm(total=size, desc=f"read {Path(self._name).name}", unit="B", unit_scale=True, delay=2, disable=None)
        with self._tree.open(self._name) as stream, bar:
            blocks = TextBlocks(stream, self.where, self._encoding, guessed=self._guessed)
            previous: bytes | None = None
            for block in blocks:
                if previous is not None:
                    reading.take(previous)
                    bar.update(len(previous))
                previous = block
            reading.take(previous or b"", last=True)
        return reading.account(blocks)


def _swapped_back(table: pa.Table) -> pa.Table:
    """The same columns with single and double quotes in their texts as the file has them."""
    for at, name in enumerate(table.column_names):
        column = table.column(name)
        texts = pa.array([text and text.translate(SWAP) for text in column.to_pylist()], pa.string())
        table = table.set_column(at, name, texts.dictionary_encode() if column.type == CODED else texts)
    return table


def _without_nulls(table: pa.Table) -> pa.Table:
    """The same with null for what stands for nothing, but in coded columns: of ids a rule decides what is none."""
    for at, name in enumerate(table.column_names):
        column = table.column(name)
        if column.type != CODED:
            nothing = pc.is_in(column, value_set=NO_VALUES)
            table = table.set_column(at, name, pc.if_else(nothing, pa.scalar(None, column.type), column))
    return table


class _Head:
    """The first bytes of a stream, as a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._left = [stream.read(SAMPLE), b""]

    def read(self, _: int = -1) -> bytes:
        return self._left.pop(0) if self._left else b""


class _Reading:
    """One pass over a file."""

    def __init__(
        self,
        file: DelimitedFile,
        columns: list[str],
        coded: Collection[str],
        take: Callable[[pa.Table, np.ndarray], None],
    ) -> None:
        self.file, self.columns, self._take = file, columns, take
        separator = file.dialect.separator
        self._one = separator if len(separator) == 1 else ONE_BYTE
        self._replaced = None if self._one == separator else separator.encode()
        self._framer = Framer(self._one, len(file.names), line=1 + file.dialect.skip)
        self._skip = file.dialect.skip
        self._types = {name: CODED if name in coded else pa.string() for name in file.names}
        self._records, self._bad = 0, 0
        self._first_bad: list[str] = []

    def take(self, block: bytes, *, last: bool = False) -> None:
        while self._skip and block:
            _, _, block = block.partition(b"\n")
            self._skip -= 1
        if self._replaced:
            block = block.replace(self._replaced, self._one.encode())
        if self.file.dialect.single:
            block = block.translate(SWAP_BYTES)
        if self.file.dialect.aligned:
            block = evened_out(block.decode()).encode()
        if self.file.dialect.wrapped:
            block = "\n".join(map(unwrapped, block.decode().split("\n"))).encode()
        records = self._framer.feed(block, last=last)
        if len(records.lines):
            self._parse(records)

    def _parse(self, records: Records) -> None:
        bad: list[int] = []

        def skip(row: csv.InvalidRow) -> str:
            bad.append(row.number - 1)
            if len(self._first_bad) < Rejected.SHOWN:
                words = (row.text or "").strip()[:80].replace(self._one, self.file.dialect.separator)
                words = words.translate(SWAP) if self.file.dialect.single else words
                self._first_bad.append(f"line {records.lines[row.number - 1]}: '{words}'")
            return "skip"

        try:
            table = csv.read_csv(
                pa.BufferReader(records.content),
                read_options=csv.ReadOptions(
                    use_threads=False, block_size=len(records.content) + 1, column_names=list(self.file.names)
                ),
                parse_options=csv.ParseOptions(
                    delimiter=self._one,
                    quote_char='"' if records.quoted else False,
                    invalid_row_handler=skip,
                    ignore_empty_lines=False,
                    newlines_in_values=records.multiline,
                ),
                convert_options=csv.ConvertOptions(
                    column_types=self._types,
                    include_columns=self.columns,
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                    null_values=[""],
                ),
            )
        except pa.ArrowInvalid as error:
            raise DataError(
                self.file.where, rule=f"cannot be read as delimited text ({error})", fix="Give the file's separator"
            ) from error
        if table.num_rows + len(bad) != len(records.lines):
            raise DataError(
                self.file.where,
                rule=f"{len(records.lines)} rows from line {records.lines[0]} on were read as "
                f"{table.num_rows + len(bad)}: its quotes cannot be followed",
                fix="Write it without line breaks in fields, or as Parquet",
            )
        self._records += len(records.lines)
        self._bad += len(bad)
        rows = _without_nulls(_swapped_back(table) if self.file.dialect.single else table)
        self._take(rows, np.delete(records.lines, bad) if bad else records.lines)

    def account(self, blocks: TextBlocks) -> Account:
        rejected = Rejected.of(FIELDS, self._bad, self._first_bad)
        return Account(self._records, rejected, tuple(self._notes(blocks)))

    def _notes(self, blocks: TextBlocks) -> list[str]:
        framer = self._framer
        notes = list(self.file.dialect.notes)
        if framer.stray:
            lines = ", ".join(map(str, framer.first_stray))
            rows = "1 row" if framer.stray == 1 else f"{framer.stray} rows"
            notes.append(f"a quote that opens or closes nothing was read as text in {rows} (line {lines})")
        if framer.comments:
            lines = "a line that begins with # is a comment"
            notes.append(lines if framer.comments == 1 else f"{framer.comments} lines that begin with # are comments")
        if blocks.guessed:
            notes.append(f"it is no UTF-8: read as {blocks.encoding}, a guess (say otherwise in source.encoding)")
        if blocks.legacy_lines:
            lines = "1 line is" if blocks.legacy_lines == 1 else f"{blocks.legacy_lines} lines are"
            notes.append(f"{lines} no UTF-8 and read as Windows-1252 (say otherwise in source.encoding)")
        return notes
