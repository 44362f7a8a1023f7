"""MovieLens in every official layout, from a folder or an archive.

100K: `u.data` (tabs), `u.item` (bars, a flag a genre). 1M and 10M: `ratings.dat`, `movies.dat` (`::`). latest-small,
20M, 25M and 32M: `ratings.csv`, `movies.csv`. A rating is an interaction of type `rating` whose value is the stars.
What the releases tell of the people (`u.user`, `users.dat`) is not read: no model uses a person's age, gender or
address.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from recstage.config import MovieLensSource
from recstage.data.files.delimited import header_of, numbers, read_delimited, without_unparsable
from recstage.data.files.file_tree import FileTree, unpacked
from recstage.data.schema import ITEM, TIME, TYPE, USER, VALUE, RawData, Unparsable
from recstage.data.sources.item_files import items_from, read_items
from recstage.errors import DataError

LAYOUTS = {"u.data": "u.item", "ratings.dat": "movies.dat", "ratings.csv": "movies.csv"}
"""The file of ratings and the file of movies of each layout."""
COLUMNS = [USER, ITEM, VALUE, TIME]
CSV_COLUMNS = ["userId", "movieId", "rating", "timestamp"]


def is_layout(tree: FileTree) -> bool:
    """Whether the place holds one of the layouts, or is the ratings of one."""
    found = tree.find(*LAYOUTS)
    return found is not None and (
        not unpacked(found).endswith(".csv") or header_of(tree.read(found), ",") == CSV_COLUMNS
    )


def files(config: MovieLensSource) -> list[Path]:
    """The files that `read` reads."""
    tree, ratings, movies = _layout(config)
    named = [tree.on_disk(name) for name in (ratings, movies) if name is not None]
    return sorted({*named, *([Path(config.items_path)] if config.items_path else [])})


def read(config: MovieLensSource) -> RawData:
    """Raises `DataError` where the path holds no MovieLens layout, or a file is damaged."""
    tree, name, movies = _layout(config)
    where = tree.label(name)
    events, unparsable = _ratings(tree.read(name), where)
    items = items_from(tree, movies) if movies is not None else None
    if config.items_path:
        texts = read_items(config.items_path)
        items = texts if items is None else _enriched(items, texts)
    return RawData(events=events, items=items, unparsable=unparsable)


def _layout(config: MovieLensSource) -> tuple[FileTree, str, str | None]:
    if config.path is None:
        raise DataError(
            "a MovieLens source without a path", rule="it is read from disk", fix="Give a path or a release"
        )
    tree = FileTree(config.path)
    for ratings, movies in LAYOUTS.items():
        found = tree.find(ratings)
        if found is not None:
            return tree, found, tree.find(movies)
    raise DataError(
        config.path,
        rule=f"a MovieLens folder or archive holds one of {', '.join(LAYOUTS)}",
        fix="Give the folder or archive as GroupLens publishes it",
    )


def _ratings(content: bytes, where: str) -> tuple[pd.DataFrame, Unparsable]:
    layout = next(name for name in LAYOUTS if where.removesuffix(".gz").endswith(name))
    if layout == "ratings.dat":
        content = content.replace(b"::", b"\t")  # Arrow splits at one character; no field of the release has a tab
    if layout == "ratings.csv":
        if header_of(content, ",") != CSV_COLUMNS:
            raise DataError(
                f"{where}: columns {', '.join(header_of(content, ','))}",
                rule=f"MovieLens has {', '.join(CSV_COLUMNS)}",
                fix="Read the file as events, with a mapping of its columns",
            )
        frame, unparsable = read_delimited(content, where, separator=",", coded=CSV_COLUMNS[:2])
        frame = frame.set_axis(COLUMNS, axis="columns")
    else:
        frame, unparsable = read_delimited(content, where, separator="\t", names=COLUMNS, coded=[USER, ITEM])
    frame, parsed, more = without_unparsable(frame, {column: numbers(frame[column]) for column in (VALUE, TIME)})
    frame = frame.assign(**parsed)
    frame[TYPE] = pd.Categorical(["rating"]).repeat(len(frame))
    return frame, unparsable + more


def _enriched(items: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """The release's own titles and genres, with what else another file knows of the same ids."""
    more = [name for name in texts if name not in items]
    return items.merge(texts[[ITEM, *more]].drop_duplicates(ITEM), on=ITEM, how="left")
