"""Delimited text to columns of text, by Arrow: fast, ids as dictionaries, and every line that is no row remembered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv
from tqdm import tqdm
from tqdm.utils import CallbackIOWrapper

from recstage.data.files.file_tree import as_stream
from recstage.data.schema import Unparsable
from recstage.errors import DataError

CODED = pa.dictionary(pa.int32(), pa.string())
SEPARATORS = ("\t", ",", ";", "|")
BLOCK = 1 << 24  # bytes parsed at once; no line may be longer


def read_delimited(
    content: bytes,
    where: str,
    *,
    separator: str,
    names: Sequence[str] | None = None,
    coded: Collection[str] = (),
    keep: Sequence[str] | None = None,
) -> tuple[pd.DataFrame, Unparsable]:
    """Text columns of `content` (null where empty), indexed by line number (from 1, the header included).

    `names` where the file has no header; `coded` columns come as categoricals; `keep` reads fewer columns. Lines with
    another number of fields are left out and returned. Raises `DataError` on an empty file.
    """
    if not content.strip():
        raise DataError(where, rule="is empty", fix="Give a file with rows")
    bad: list[csv.InvalidRow] = []

    def skip(row: csv.InvalidRow) -> str:
        bad.append(row)
        return "skip"

    header = list(names) if names is not None else header_of(content, separator)
    stream = as_stream(content)
    bar = tqdm(total=len(content), desc=f"read {Path(where).name}", unit="B", unit_scale=True, delay=1, disable=None)
    try:
        table = csv.read_csv(
            pa.PythonFile(CallbackIOWrapper(bar.update, stream, "read"), mode="r"),
            read_options=csv.ReadOptions(
                use_threads=False, block_size=BLOCK, column_names=header, skip_rows=0 if names is not None else 1
            ),
            parse_options=csv.ParseOptions(
                delimiter=separator, invalid_row_handler=skip, ignore_empty_lines=False, newlines_in_values=False
            ),
            convert_options=csv.ConvertOptions(
                column_types={name: CODED if name in coded else pa.string() for name in header},
                include_columns=list(keep) if keep is not None else None,
                strings_can_be_null=True,
                null_values=["", "NULL", "null", "NaN", "nan", "NA", "None", r"\N"],
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(
            where, rule=f"cannot be read as delimited text ({error})", fix="Give the file's separator"
        ) from error
    finally:
        bar.close()
    lines = np.setdiff1d(
        np.arange(len(table) + len(bad)) + (1 if names is not None else 2),
        [row.number for row in bad],
        assume_unique=True,
    )
    frame = table.to_pandas().set_axis(lines, axis="index")
    blank = frame.isna().all(axis=1)
    first = tuple(f"line {row.number}: '{row.text.strip()[:80]}'" for row in bad[: Unparsable.SHOWN])
    return (frame[~blank] if blank.any() else frame), Unparsable(len(bad), first)


def header_of(content: bytes, separator: str) -> list[str]:
    """Column names of the first line."""
    line = as_stream(content[:65536].split(b"\n", 1)[0].rstrip(b"\r")).getvalue().decode()
    return [name.strip().strip('"') for name in line.split(separator)]


def separator_of(content: bytes, where: str) -> str:
    """The separator of a file, from its first line. Raises `DataError` where none fits."""
    line = content[:65536].split(b"\n", 1)[0].decode("latin-1")
    found = max(SEPARATORS, key=line.count)
    if not line.count(found):
        raise DataError(
            f"{where}: '{line[:60].strip()}'",
            rule="the first line must hold column names separated by a tab, comma, semicolon or bar",
            fix="Give a delimited file, or name its separator",
        )
    return found


def numbers(text: pd.Series) -> pd.Series:
    """float64 of a column of text; NaN where it is null or no finite number."""
    try:
        values = pa.Array.from_pandas(text).cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # some are no numbers: the slow way marks them one by one
        values = pd.to_numeric(text, errors="coerce").to_numpy("float64")
    return pd.Series(np.where(np.isfinite(values), values, np.nan), text.index, dtype="float64")


def without_unparsable(
    table: pd.DataFrame, parsed: Mapping[str, pd.Series]
) -> tuple[pd.DataFrame, dict[str, pd.Series], Unparsable]:
    """`table` and its columns as `parsed`, without the rows where there was something and nothing came of it."""
    bad = pd.Series(False, table.index)
    first: list[str] = []
    for column, values in parsed.items():
        lost = values.isna() & table[column].notna() & ~bad
        if lost.any():
            bad |= lost
            some = table.loc[lost, column].head(Unparsable.SHOWN)
            first += [f"line {line}: {column} '{str(text)[:40]}'" for line, text in some.items()]
    if not bad.any():
        return table, dict(parsed), Unparsable()
    kept = {column: values[~bad] for column, values in parsed.items()}
    return table[~bad], kept, Unparsable(int(bad.sum()), tuple(first[: Unparsable.SHOWN]))
