"""How a file is written: format, separator, quotes, encoding, decimal mark, header, unit and zone of its times."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from recstage.data.schema import TIME
from recstage.data.tables.delimited import DelimitedFile
from recstage.data.tables.dialect import Dialect
from recstage.data.tables.json_rows import JsonFile
from recstage.data.tables.partitions import PartitionedFile
from recstage.data.tables.table import TableFile
from recstage.data.tables.typed import ArrowFile, SheetFile
from recstage.data.tables.values.time_form import TimeForm, time_form_of
from recstage.steps.onboarding.facts.contents import Contents

SEPARATORS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar", " ": "blank", "\x01": "^A"}
KINDS = (
    (JsonFile, "JSON"),
    (ArrowFile, "Parquet or Arrow"),
    (SheetFile, "spreadsheet"),
    (DelimitedFile, "delimited text"),
)
WITH_COMMA, WITH_POINT = re.compile(r"[+-]?\d[\d.]*,\d{1,2}|[+-]?\d+,\d{4,}"), re.compile(r"[+-]?\d[\d,]*\.\d+")


@dataclass(frozen=True)
class Form:
    """All in words, empty where the format has no such thing. `files`: how many parts. `ambiguous_dates`: no date says
    whether the day or the month comes first; `in_order`: the one with which the rows are in order of time, if any;
    `first_time`: as it is written. `lacks_a_zone`: some times name none."""

    format: str
    files: int
    separator: str
    quotes: str
    encoding: str
    decimal: str
    header: str
    time: str
    zone: str
    ambiguous_dates: bool = False
    in_order: str = ""
    first_time: str = ""
    lacks_a_zone: bool = False

    def lines(self) -> Iterator[tuple[str, str]]:
        """What is to be told, as name and words."""
        yield "format", self.format + (f", {self.files} files" if self.files > 1 else "")
        for name in ("separator", "quotes", "encoding", "header", "decimal", "time", "zone"):
            if getattr(self, name):
                yield {"decimal": "decimal mark"}.get(name, name), getattr(self, name)


def form_of(files: Sequence[TableFile], columns: Mapping[str, str], contents: Contents, zone: str = "UTC") -> Form:
    """The form of the first of `files`, whose columns mean what `columns` says. `zone`: of times that name none."""
    file = files[0].file if isinstance(files[0], PartitionedFile) else files[0]
    kind = next(name for of, name in KINDS if isinstance(file, of))
    time = _time_form(files, columns[TIME], contents, zone) if TIME in columns else None
    text = isinstance(file, DelimitedFile)
    separator = file.dialect.separator if isinstance(file, DelimitedFile) else ""
    return Form(
        format=kind,
        files=len(files),
        separator=SEPARATORS.get(separator, f"'{separator}'") if text else "",
        quotes=_quotes(file.dialect) if isinstance(file, DelimitedFile) else "",
        encoding=file.encoding if isinstance(file, DelimitedFile) else "",
        decimal=_decimal(contents, file.names) if text else "",
        header=_header(file),
        time=time.unit if time is not None else "no column of times",
        zone=time.zone if time is not None else "",
        ambiguous_dates=time is not None and time.ambiguous,
        in_order=time.in_order if time is not None else "",
        first_time=time.first if time is not None else "",
        lacks_a_zone=time is not None and time.lacks_a_zone,
    )


def _time_form(files: Sequence[TableFile], name: str, contents: Contents, zone: str) -> TimeForm | None:
    """By the first rows; by all of them, where the first leave the order of day and month open."""
    form = time_form_of(contents.given(name), zone)
    if form is None or not form.ambiguous:
        return form
    return time_form_of(pd.concat([file.read([name]).frame[name] for file in files], ignore_index=True), zone)


def _quotes(dialect: Dialect) -> str:
    if not dialect.quoted:
        return "none"
    return "single quotes" if dialect.single else "double quotes"


def _header(file: TableFile) -> str:
    if not file.has_header:
        return "none: columns are called column_1, column_2, ..."
    if not isinstance(file, DelimitedFile):
        return ""
    return "first line" if file.dialect.skip == 1 else f"line {file.dialect.skip}"


def _decimal(contents: Contents, names: tuple[str, ...]) -> str:
    """The mark of the numbers with fractions; nothing where there are none."""
    numbers = [value for name in names if contents.is_number(name) for value in contents.given(name)]
    if any(WITH_COMMA.fullmatch(value) for value in numbers) and not any(WITH_POINT.fullmatch(v) for v in numbers):
        return "comma"
    return "point" if any(WITH_POINT.fullmatch(value) for value in numbers) else "no number has one"
