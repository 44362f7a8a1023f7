"""Objects of JSON as rows: one a line, or a list of them; objects inside are columns of their own ("user.id")."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import orjson
import pandas as pd

from recstage.data.files.file_tree import FileTree
from recstage.data.schema import Places, Rejected
from recstage.data.tables.encodings import TextBlocks
from recstage.data.tables.names import is_usual
from recstage.data.tables.table import Table
from recstage.errors import DataError

NO_OBJECT = "line that is no JSON object"
SAMPLE_ROWS = 200
LISTS = ("interactions", "events", "items", "data", "rows", "records", "results")
"""Where an object that holds a table keeps its rows."""


def is_json(head: bytes, *, called_so: bool) -> bool:
    """Whether a file may be JSON by its first bytes: an object or a list of them. Of one that is called so, the first
    lines may be broken."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head[:64]:
        text = head.replace(b"\0", b"").lstrip(b"\xff\xfe").lstrip()
    lines = [line.strip() for line in text.split(b"\n")[:20] if line.strip()]
    if not lines:
        return False
    if text[:1] == b"[":
        return text[1:].lstrip()[:1] in (b"{", b"[", b"]")
    looked_at = lines if called_so else lines[:1]
    return any(line[:1] == b"{" and (line[1:].lstrip()[:1] in (b'"', b"}", b"'") or line == b"{") for line in looked_at)


class JsonFile:
    """JSON lines, or one list of objects, or an object with such a list (`recstage.data.tables.table.TableFile`)."""

    has_header = True

    def __init__(self, tree: FileTree, name: str, encoding: str | None = None) -> None:
        self.where = tree.label(name)
        self._tree, self._name, self._encoding = tree, name, encoding
        self._whole = self._as_one_value()
        self.unit = "line" if self._whole is None else "row"
        first = [row for _, row in islice(self._objects(), SAMPLE_ROWS) if row is not None]
        if self._whole is None and not first and not any(True for _ in self._objects()):
            raise DataError(self.where, rule="is empty", fix="Give a file with rows")
        self.names = tuple(dict.fromkeys(key for row in first for key in row))
        self.rows = tuple(tuple(str(row.get(name, "")) for name in self.names) for row in first)

    def read(self, columns: Sequence[str] | None = None, coded: Collection[str] = ()) -> Table:
        """Values as JSON types them; a line that holds no object is rejected, a field that a row lacks is null."""
        chosen = list(columns) if columns is not None else list(self.names)
        values: dict[str, list[Any]] = {name: [] for name in chosen}
        positions: list[int] = []
        bad = 0
        first_bad: list[str] = []
        for position, row in self._objects():
            if row is None:
                bad += 1
                if len(first_bad) < Rejected.SHOWN:
                    first_bad.append(f"{self.unit} {position}")
                continue
            positions.append(position)
            for name, column in values.items():
                column.append(row.get(name))
        index = pd.Index(np.array(positions, np.int64))
        frame = pd.DataFrame({name: _column(column, index) for name, column in values.items()}, index=index)
        return Table(frame, len(positions) + bad, Rejected.of(NO_OBJECT, bad, first_bad), Places(unit=self.unit))

    def _as_one_value(self) -> list[Any] | None:
        """The rows of a file that is one list, or one object with a list; None where it has an object a line."""
        with self._tree.open(self._name) as stream:
            head = b"".join(islice(TextBlocks(stream, self.where, self._encoding), 1)).lstrip()
        first_line = head.split(b"\n", 1)[0]
        if _parsed(first_line) is not None and not first_line.startswith(b"["):
            only = b"\n" not in head.strip()
            value = _parsed(first_line) if only else None
            rows = _rows_of(value) if isinstance(value, dict) else None
            return rows if rows and rows != [value] and all(isinstance(row, dict) for row in rows) else None
        if not head.startswith((b"[", b"{")):
            return None
        with self._tree.open(self._name) as stream:
            content = b"".join(TextBlocks(stream, self.where, self._encoding))
        try:
            value = whole(json.loads(content))
        except (ValueError, RecursionError) as error:
            if head.startswith(b"{") and b"\n{" in head:
                return None  # lines, the first of which is broken
            raise DataError(
                self.where, rule=f"is not JSON, or truncated ({error})", fix="Get the file again"
            ) from error
        return _rows_of(value)

    def _objects(self) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """Each row with its position; None in place of what is no object. Blank lines are no rows."""
        if self._whole is not None:
            for position, value in enumerate(self._whole, 1):
                yield position, _flat(value) if isinstance(value, dict) else None
            return
        position = 0
        with self._tree.open(self._name) as stream:
            for block in TextBlocks(stream, self.where, self._encoding):
                lines = block.split(b"\n")
                for line in lines[:-1] if not lines[-1] else lines:
                    position += 1
                    if line.strip():
                        value = _parsed(line)
                        yield position, _flat(value) if isinstance(value, dict) else None


def _rows_of(value: Any) -> list[Any]:
    """The rows of one value of JSON: its list, or a table as data frames write it (`DataFrame.to_json`)."""
    if isinstance(value, list):
        listed = value and all(isinstance(row, list) for row in value)
        return [{f"column_{at}": cell for at, cell in enumerate(row, 1)} for row in value] if listed else value
    names, data = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        return [dict(zip(map(str, names), row, strict=False)) for row in data]
    inside = next((value[key] for key in LISTS if isinstance(value.get(key), list)), None)
    if inside is not None:
        return list(inside)
    parts = list(value.values())
    if len(parts) > 1 and all(isinstance(part, dict) and part.keys() == parts[0].keys() for part in parts):
        rows_outside = any(map(is_usual, parts[0])) and not any(map(is_usual, value))
        return parts if rows_outside else [{name: value[name][row] for name in value} for row in parts[0]]
    return [value]


def _parsed(line: bytes) -> Any:
    """A value of JSON; None where it is none. NaN and Infinity, which Python writes, are read as Python does."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            return whole(json.loads(line))
        except (ValueError, RecursionError):
            return None


def whole(value: Any) -> Any:
    """A value of JSON in whose text halves of characters (lone surrogates, which no file can hold) are replaced."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    if isinstance(value, dict):
        return {whole(key): whole(inner) for key, inner in value.items()}
    return value


def _flat(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A row whose inner objects are columns of their own, three levels deep."""
    if not any(isinstance(value, dict) for value in row.values()):
        return row if not prefix else {prefix + key: value for key, value in row.items()}
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict) and value and prefix.count(".") < 2:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _column(values: list[Any], index: pd.Index) -> pd.Series:
    return pd.Series(values, index=index, dtype=object)
