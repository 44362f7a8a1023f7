"""Files about items, in any format of tables and in MovieLens's own: what is known of each, under our names."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recstage.config.schemas import ItemsSource
from recstage.data.files.file_tree import FileTree, lines_of, unpacked
from recstage.data.schema import ITEM, NONE_REJECTED, Rejected
from recstage.data.tables.names import ALSO_TEXT, AVAILABLE, CATEGORIES, ITEM_NAMES, TEXT, TITLE, mapped, plain
from recstage.data.tables.opening import Format, labels_of, opened, places_of
from recstage.data.tables.table import Table, TableFile, joined
from recstage.data.tables.values.attributes import attributes_of
from recstage.data.tables.values.ids import IdRule, id_of, ids_of, refuse_a_column_of, rejected_ids
from recstage.errors import DataError

NO_GENRE = {"", "unknown", "(no genres listed)", "nan", "None"}
NO = {
    "false", "0", "00", "no", "n", "f", "none", "outofstock", "inactive", "unavailable", "notavailable", "discontinued",
    "soldout", "disabled", "archived", "deleted", "draft", "unpublished", "nein", "ausverkauft", "nichtverfugbar",
    "nichtlieferbar", "non", "epuise", "agotado", "esaurito",
}  # fmt: skip
"""Values of `available` that say no, without case, accents, blanks and marks."""
NAMES = ("name", "title", "label", "value", "text")
"""Fields of an object that name it, as in [{"id": 28, "name": "Action"}]."""
TWICE = "item given twice"
GENRES_OF_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


@dataclass(frozen=True)
class Items:
    """`frame`: item_id and any of title, text, categories (lists), available (bool), and attributes, one row an item.
    `rejected`: rows of the file that describe none; `notes` of the reader."""

    frame: pd.DataFrame
    rejected: Rejected = NONE_REJECTED
    notes: tuple[str, ...] = ()


def items_of(config: ItemsSource) -> Items | None:
    """What the items file of a source says; None where it has none."""
    if not config.items_path:
        return None
    return read_items(config.items_path, columns=config.items_columns, ids=config.ids)


def rejected_of(items: Items | None) -> Rejected:
    """What was rejected of an items file, where there is one."""
    return NONE_REJECTED if items is None else items.rejected


def files_of_items(config: ItemsSource) -> list[Path]:
    """The files that `items_of` reads."""
    return [tree.on_disk(name) for tree, name in places_of(config.items_path)] if config.items_path else []


def read_items(
    path: str | Path,
    *,
    columns: Mapping[str, str] = {},
    ids: IdRule = "auto",
    how: Format | None = None,  # noqa: B006
) -> Items:
    """A file about items, or several parts of one. `columns`: our names to the file's, where it has unusual ones.

    Raises `DataError` where it cannot be read or has no ids.
    """
    files = places_of(str(path))
    if not files:
        raise DataError(str(path), rule="holds no file about items", fix="Name the file")
    if len(files) == 1:
        return items_from(*files[0], columns=columns, ids=ids, how=how)
    tables = [opened(tree, name, how or Format()) for tree, name in files]
    whole = joined([_read(table, columns) for table in tables], labels_of(files))
    return understood(whole, str(path), columns, ids)


def items_from(
    tree: FileTree,
    name: str,
    *,
    columns: Mapping[str, str] = {},
    ids: IdRule = "auto",
    how: Format | None = None,  # noqa: B006
) -> Items:
    """`read_items` of one file of a folder or archive."""
    ending = unpacked(name).lower()
    if ending.endswith(".dat") and b"::" in tree.read(name)[:4096]:
        return _movies_dat(tree.read(name))
    if ending.endswith("u.item"):
        return _u_item(tree.read(name))
    file = opened(tree, name, how or Format())
    if not file.has_header and not columns:
        columns = _without_header(file)
    return understood(_read(file, columns), file.where, columns, ids)


def _read(file: TableFile, columns: Mapping[str, str]) -> Table:
    """All columns; ids as they are written."""
    found = mapped(file.names, columns, ITEM_NAMES, setting="source.items_columns", where=file.where)
    return file.read(coded={found[ITEM]} if ITEM in found else ())


def _without_header(file: TableFile) -> dict[str, str]:
    """The first column is the id, the second the title, of a file that names neither."""
    return dict(zip((ITEM, TITLE), file.names, strict=False))


def understood(table: Table, where: str, columns: Mapping[str, str] = {}, ids: IdRule = "auto") -> Items:  # noqa: B006
    """A table with columns of any usual or mapped names, in ours; columns of no such name are attributes."""
    frame = table.frame
    found = mapped(list(frame.columns), columns, ITEM_NAMES, setting="source.items_columns", where=where)
    if ITEM not in found:
        raise DataError(
            f"{where}: columns {', '.join(map(str, frame.columns))}",
            rule="items need a column of ids",
            fix="Map it: --items_columns.item_id sku of `recstage init`, or source.items_columns of the YAML",
        )
    given = frame[found[ITEM]]
    names, wrong = ids_of(given, ids)
    refuse_a_column_of(given, wrong, ITEM, where)
    missing = names.isna() & ~wrong
    rejected = table.rejected + rejected_ids(wrong, given, ITEM, table.places.words)
    rejected += Rejected.of(f"missing {ITEM}", int(missing.sum()), map(table.places.words, frame.index[missing]))
    twice = names.notna() & names.duplicated(keep="last")
    rejected += Rejected.of(
        TWICE, int(twice.sum()), (f"{table.places.words(at)}: {names[at]}" for at in frame.index[twice][:3])
    )
    kept = names.notna() & ~twice
    if table.rows_read != int(kept.sum()) + rejected.total:
        raise AssertionError(
            f"{where}: {table.rows_read} rows read, {kept.sum()} kept, {dict(rejected.counts)} rejected"
        )
    items = _columns(frame[kept], names[kept].astype(object), found)
    return Items(items.reset_index(drop=True), rejected, table.notes)


def _columns(frame: pd.DataFrame, names: pd.Series, found: Mapping[str, str]) -> pd.DataFrame:
    items = pd.DataFrame({ITEM: names})
    if TITLE in found:
        items[TITLE] = [_words(value) for value in frame[found[TITLE]]]
    also = [name for name in frame if plain(name) in map(plain, ALSO_TEXT) and name not in found.values()]
    texts = [name for name in (found.get(TEXT), *also) if name is not None]
    if texts:
        items[TEXT] = [
            " ".join(part for part in parts if part)
            for parts in zip(*(map(_words, frame[name]) for name in texts), strict=True)
        ]
    if CATEGORIES in found:
        items[CATEGORIES] = [categories_of(value) for value in frame[found[CATEGORIES]]]
    if AVAILABLE in found:
        items[AVAILABLE] = [_is_available(value) for value in frame[found[AVAILABLE]]]
    rest = [name for name in frame if name not in found.values() and not str(name).startswith("column_")]
    return pd.concat([items, attributes_of(frame[rest], taken=items.columns)], axis=1)


def _is_available(value: Any) -> bool:
    return _missing(value) or plain(value) not in NO


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value)) or value is pd.NA or value is pd.NaT


def _words(value: Any) -> str:
    """A value as text: lists as their words one after the other, nothing as ''."""
    if _missing(value):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return " ".join(map(_words, value.values()))
    if isinstance(value, Iterable):
        return " ".join(map(_words, value))
    return id_of(value) or "" if isinstance(value, float) else str(value)


def categories_of(value: Any) -> list[str]:
    """Names of categories: of a list (of lists or of objects with names), of JSON's or Python's writing of one, of a
    path (A > B > C), or of text parted by bars, semicolons or commas."""
    if _missing(value):
        return []
    if isinstance(value, str):
        value = value.strip()
        if value[:1] + value[-1:] in ("[]", "{}"):
            written = _written(value)
            if written is not None:
                return categories_of(written)
            value = value[1:-1]
        marks = r"[|;]" if " > " in value else r"[|;,]"
        parts: Iterable[Any] = (step for path in re.split(marks, value) for step in path.split(" > "))
    elif isinstance(value, Mapping):
        named = [value[name] for name in NAMES if name in value]
        parts = named[:1] or value.values()
    elif isinstance(value, Iterable):
        parts = value
    else:
        parts = [value]
    names: list[str] = []
    for part in parts:
        if isinstance(part, Iterable) and not isinstance(part, str):
            names += categories_of(part)
        elif not _missing(part):
            names.append(_words(part).strip())
    return list(dict.fromkeys(name for name in names if name not in NO_GENRE))


def _written(text: str) -> Any:
    """A list or an object as JSON or Python writes it; None where the text is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _movies_dat(content: bytes) -> Items:
    rows, rejected = _cut(content, "::", 3)
    frame = pd.DataFrame(
        {
            ITEM: pd.Series([id_of(row[0]) for row in rows], dtype="object"),
            TITLE: ["::".join(row[1:-1]) for row in rows],
            CATEGORIES: [categories_of(row[-1]) for row in rows],
        }
    )
    return Items(frame, rejected)


def _u_item(content: bytes) -> Items:
    rows, rejected = _cut(content, "|", 5 + len(GENRES_OF_100K))
    flags = [row[-len(GENRES_OF_100K) :] for row in rows]
    categories = [
        [name for name, flag in zip(GENRES_OF_100K, row, strict=True) if flag == "1" and name not in NO_GENRE]
        for row in flags
    ]
    ids = pd.Series([id_of(row[0]) for row in rows], dtype="object")
    return Items(pd.DataFrame({ITEM: ids, TITLE: [row[1] for row in rows], CATEGORIES: categories}), rejected)


def _cut(content: bytes, separator: str, fewest: int) -> tuple[list[list[str]], Rejected]:
    """The fields of each line, without quotes, as MovieLens writes them; lines with too few are rejected."""
    lines = [(number, line.split(separator)) for number, line in enumerate(lines_of(content), 1) if line.strip()]
    bad = [number for number, fields in lines if len(fields) < fewest]
    rejected = Rejected.of("wrong number of fields", len(bad), (f"line {number}" for number in bad[: Rejected.SHOWN]))
    return [fields for _, fields in lines if len(fields) >= fewest], rejected
