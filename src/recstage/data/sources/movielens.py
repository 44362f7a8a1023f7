"""MovieLens in every official layout, from a folder or an archive.

100K: `u.data` (tabs), `u.item` (bars, a flag a genre). 1M and 10M: `ratings.dat`, `movies.dat` (`::`). latest-small,
20M, 25M and 32M: `ratings.csv`, `movies.csv`. A rating is an interaction of type `rating` whose value is the stars.
What the releases tell of the users (`u.user`, `users.dat`) is read where `users` asks for it, without their addresses.
"""

from __future__ import annotations

from pathlib import Path

from recstage.config import MovieLensSource
from recstage.data.files.file_tree import FileTree, unpacked
from recstage.data.schema import ITEM, TIME, USER, VALUE, RawData
from recstage.data.sources.item_files import Items, files_of_items, items_from, items_of, rejected_of
from recstage.data.sources.ratings import ratings_of
from recstage.data.sources.user_files import MOVIELENS, files_of_users, notes_of, read_movielens, users_of
from recstage.data.tables.delimited import DelimitedFile
from recstage.errors import DataError

LAYOUTS = {"u.data": "u.item", "ratings.dat": "movies.dat", "ratings.csv": "movies.csv"}
"""The file of ratings and the file of movies of each layout."""
COLUMNS = [USER, ITEM, VALUE, TIME]
CSV_COLUMNS = ["userId", "movieId", "rating", "timestamp"]


def is_layout(tree: FileTree) -> bool:
    """Whether the place holds one of the layouts, or is the ratings of one."""
    found = tree.find(*LAYOUTS)
    return found is not None and (not unpacked(found).endswith(".csv") or _names(tree, found) == CSV_COLUMNS)


def _names(tree: FileTree, name: str) -> list[str]:
    try:
        return list(DelimitedFile(tree, name).names)
    except DataError:
        return []


def files(config: MovieLensSource) -> list[Path]:
    """The files that `read` reads."""
    tree, ratings, movies = _layout(config)
    named = [tree.on_disk(name) for name in (ratings, movies) if name is not None]
    users = [] if (place := _users(config)) is None else [place[0].on_disk(place[1])]
    return sorted({*named, *users, *files_of_items(config), *files_of_users(config)})


def read(config: MovieLensSource) -> RawData:
    """Raises `DataError` where the path holds no MovieLens layout, or a file is damaged."""
    tree, name, movies = _layout(config)
    ratings = ratings_of(_file(tree, name), config.ids)
    items = items_from(tree, movies, ids=config.ids) if movies is not None else None
    more = items_of(config)
    if more is not None:
        items = more if items is None else _enriched(items, more)
    users = users_of(config) if (place := _users(config)) is None else read_movielens(*place, config.ids)
    return RawData(
        events=ratings.frame,
        items=None if items is None else items.frame,
        users=None if users is None else users.frame,
        rows_read=ratings.rows_read,
        rejected=ratings.rejected,
        notes=(*ratings.notes, *notes_of(users)),
        items_rejected=rejected_of(items),
    )


def _users(config: MovieLensSource) -> tuple[FileTree, str] | None:
    """The release's own file about users, where it is asked for. Raises `DataError` where there is none."""
    if not config.users:
        return None
    tree, _, _ = _layout(config)
    found = tree.find(*MOVIELENS)
    if found is None:
        raise DataError(
            f"{config.path}: source.users = true",
            rule=f"of the releases 100k and 1m alone have a file about users ({', '.join(MOVIELENS)})",
            fix="Leave it out, or give a file of your own in source.users_path",
        )
    return tree, found


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


def _file(tree: FileTree, name: str) -> DelimitedFile:
    layout = next(layout for layout in LAYOUTS if unpacked(name).endswith(layout))
    if layout != "ratings.csv":
        return DelimitedFile(tree, name, separator="::" if layout == "ratings.dat" else "\t", names=COLUMNS)
    file = DelimitedFile(tree, name)
    if list(file.names) != CSV_COLUMNS:
        raise DataError(
            f"{file.where}: columns {', '.join(file.names)}",
            rule=f"MovieLens has {', '.join(CSV_COLUMNS)}",
            fix="Read the file as events, with a mapping of its columns",
        )
    return DelimitedFile(tree, name, separator=",", header=True)


def _enriched(items: Items, more: Items) -> Items:
    """The release's own titles and genres, with what else another file knows of the same ids."""
    new = [name for name in more.frame if name not in items.frame]
    merged = items.frame.merge(more.frame[[ITEM, *new]], on=ITEM, how="left")
    return Items(merged, items.rejected + more.rejected, (*items.notes, *more.notes))
