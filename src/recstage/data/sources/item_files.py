"""Files about items, in the layouts that are met: delimited, JSON lines, Parquet, and MovieLens's own."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from recstage.data.files.delimited import read_delimited, separator_of
from recstage.data.files.file_tree import FileTree, damaged_is_an_error, lines_of, unpacked
from recstage.data.schema import ITEM
from recstage.errors import DataError

TITLE, TEXT, CATEGORIES, AVAILABLE = "title", "text", "categories", "available"
MEANINGS = {
    ITEM: (ITEM, "itemId", "movie_id", "movieId", "product_id", "article_id", "id"),
    TITLE: (TITLE, "name"),
    TEXT: (TEXT, "plot", "description", "overview", "body", "content"),
    CATEGORIES: (CATEGORIES, "genres", "category", "genre"),
    AVAILABLE: (AVAILABLE,),
}
ALSO_TEXT = ("director", "actors", "author", "tags", "keywords")
"""Columns whose words are worth as much as the text's own and are appended to it."""
NO_GENRE = {"", "unknown", "(no genres listed)"}
GENRES_OF_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


def read_items(path: str | Path, *, id_column: str | None = None) -> pd.DataFrame:
    """Columns item_id and any of title, text, categories, available of a file about items.

    `id_column` names the file's own column of ids where it is not one of the usual names. Raises `DataError` where the
    file cannot be read or has no ids.
    """
    tree = FileTree(path)
    if tree.path.is_dir() or tree.is_archive:
        raise DataError(str(path), rule="item texts come in one file", fix="Name the file inside it")
    return items_from(tree, tree.names[0], id_column=id_column)


def items_from(tree: FileTree, name: str, *, id_column: str | None = None) -> pd.DataFrame:
    """`read_items` of one file of a folder or archive."""
    content, where, plain = tree.read(name), tree.label(name), unpacked(name).lower()
    if plain.endswith(".dat"):
        return _movies_dat(content)
    if plain.endswith("u.item"):
        return _u_item(content)
    if plain.endswith((".jsonl", ".ndjson")):
        table = _json_lines(content, where)
    elif plain.endswith(".parquet"):
        with damaged_is_an_error(tree.path):
            table = pd.read_parquet(io.BytesIO(content))
    else:
        table, _ = read_delimited(content, where, separator=separator_of(content, where))
    return understood(table, where, id_column)


def understood(table: pd.DataFrame, where: str, id_column: str | None = None) -> pd.DataFrame:
    """A table with columns of any usual names, in ours."""
    columns = {ours: _first_of(table, theirs) for ours, theirs in MEANINGS.items()}
    identity = id_column or columns[ITEM]
    if identity is None or identity not in table:
        raise DataError(
            f"{where}: columns {', '.join(map(str, table.columns))}",
            rule=f"items need a column of ids ({', '.join(MEANINGS[ITEM])})",
            fix="Rename the column",
        )
    items = pd.DataFrame({ITEM: _text_ids(table[identity])})
    if columns[TITLE]:
        items[TITLE] = table[columns[TITLE]].fillna("").astype(str)
    texts = [name for name in (columns[TEXT], *ALSO_TEXT) if name is not None and name in table]
    if texts:
        items[TEXT] = [
            " ".join(part for part in parts if part)
            for parts in zip(*(map(_words, table[name]) for name in texts), strict=True)
        ]
    if columns[CATEGORIES]:
        items[CATEGORIES] = [_categories(value) for value in table[columns[CATEGORIES]]]
    if columns[AVAILABLE]:
        items[AVAILABLE] = [
            str(value).strip().lower() not in {"false", "0", "0.0", "no"} for value in table[columns[AVAILABLE]]
        ]
    return items[items[ITEM].notna()].reset_index(drop=True)


def _first_of(table: pd.DataFrame, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in table), None)


def _text_ids(ids: pd.Series) -> pd.Series:
    if pd.api.types.is_float_dtype(ids):
        ids = ids.astype("Int64")
    text = ids.astype("string").str.strip()
    return text.mask(text.eq(""))


def _words(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return " ".join(map(str, value))
    return ""


def _categories(value: object) -> list[str]:
    names = value.replace("|", ",").split(",") if isinstance(value, str) else value
    if not isinstance(names, Iterable):
        return []
    return [name for name in (str(name).strip() for name in names) if name not in NO_GENRE]


def _movies_dat(content: bytes) -> pd.DataFrame:
    rows = [line.split("::") for line in lines_of(content) if line.count("::") >= 2]
    return pd.DataFrame(
        {
            ITEM: pd.Series([row[0] for row in rows], dtype="string"),
            TITLE: ["::".join(row[1:-1]) for row in rows],
            CATEGORIES: [_categories(row[-1]) for row in rows],
        }
    )


def _u_item(content: bytes) -> pd.DataFrame:
    rows = [line.split("|") for line in lines_of(content) if line.count("|") >= 4 + len(GENRES_OF_100K)]
    flags = [row[-len(GENRES_OF_100K) :] for row in rows]
    return pd.DataFrame(
        {
            ITEM: pd.Series([row[0] for row in rows], dtype="string"),
            TITLE: [row[1] for row in rows],
            CATEGORIES: [
                [name for name, flag in zip(GENRES_OF_100K, row, strict=True) if flag == "1" and name not in NO_GENRE]
                for row in flags
            ],
        }
    )


def _json_lines(content: bytes, where: str) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(lines_of(content), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: line {number}", rule=f"is not JSON ({error})", fix="Mend the line") from error
    return pd.DataFrame(rows)
