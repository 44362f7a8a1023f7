"""Files about users, in any format of tables and in MovieLens's own: the attributes of each (age, role, region)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from recstage.config.schemas import ItemsSource
from recstage.data.files.file_tree import FileTree, lines_of, unpacked
from recstage.data.schema import USER
from recstage.data.tables.names import EVENT_NAMES, mapped
from recstage.data.tables.opening import Format, labels_of, opened, places_of
from recstage.data.tables.table import joined
from recstage.data.tables.values.attributes import attributes_of
from recstage.data.tables.values.ids import IdRule, ids_of, refuse_a_column_of
from recstage.errors import DataError

MOVIELENS = {
    "u.user": ("|", (USER, "age", "gender", "occupation")),
    "users.dat": ("::", (USER, "gender", "age", "occupation")),
}
"""Separator and columns of the files of the releases that have one; the postal code, which says where a user lives,
is left out."""


@dataclass(frozen=True)
class Users:
    """`frame`: user_id and attributes, one row a user; `notes` of the reader."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def users_of(config: ItemsSource) -> Users | None:
    """What the users file of a source says; None where it has none. Raises `DataError` where it cannot be read or has
    neither ids nor an attribute."""
    if not config.users_path:
        return None
    files = places_of(config.users_path)
    if not files:
        raise DataError(str(config.users_path), rule="holds no file about users", fix="Name the file")
    name = Path(unpacked(files[0][1])).name
    if len(files) == 1 and name in MOVIELENS:
        return read_movielens(*files[0], config.ids)
    opened_files = [opened(tree, name, Format()) for tree, name in files]
    names = list(dict.fromkeys(name for file in opened_files for name in file.names))
    found = mapped(
        names,
        config.users_columns,
        {USER: (*EVENT_NAMES[USER], "id")},
        setting="source.users_columns",
        where=config.users_path,
    )
    if USER not in found:
        raise DataError(
            f"{config.users_path}: columns {', '.join(names)}",
            rule="users need a column of ids",
            fix="Map it: source.users_columns: {user_id: COLUMN}",
        )
    table = joined([file.read(coded={found[USER]}) for file in opened_files], labels_of(files))
    rest = table.frame.drop(columns=[found[USER]])
    return _understood(table.frame[found[USER]], rest, config.users_path, config.ids)


def notes_of(users: Users | None) -> tuple[str, ...]:
    """What the reader of a users file has to say."""
    return () if users is None else tuple(f"users: {note}" for note in users.notes)


def files_of_users(config: ItemsSource) -> list[Path]:
    """The files that `users_of` reads."""
    return [tree.on_disk(name) for tree, name in places_of(config.users_path)] if config.users_path else []


def read_movielens(tree: FileTree, name: str, ids: IdRule) -> Users:
    """u.user or users.dat."""
    separator, columns = MOVIELENS[Path(unpacked(name)).name]
    rows = [line.split(separator)[: len(columns)] for line in lines_of(tree.read(name)) if line.strip()]
    whole = [row for row in rows if len(row) == len(columns)]
    frame = pd.DataFrame(whole, columns=list(columns), dtype=object)
    if columns != MOVIELENS["u.user"][1]:  # of 1M the occupation is the number of one, and so a name
        frame["occupation"] = "occupation " + frame["occupation"].astype(str)
    found = _understood(frame[USER], frame.drop(columns=[USER]), name, ids)
    damaged = len(rows) - len(whole)
    return Users(found.frame, (*found.notes, f"{damaged} damaged lines") if damaged else found.notes)


def _understood(given: pd.Series, rest: pd.DataFrame, where: str, ids: IdRule) -> Users:
    names, wrong = ids_of(given, ids)
    refuse_a_column_of(given, wrong, USER, where)
    attributes = attributes_of(rest, taken=[USER])
    if not len(attributes.columns):
        raise DataError(where, rule="says nothing of the users but their ids", fix="Give columns such as role or age")
    kept = names.notna() & ~names.duplicated(keep="last")
    frame = pd.concat([pd.DataFrame({USER: names[kept].astype(object)}), attributes[kept]], axis=1)
    left = int((~kept).sum())
    notes = (f"{left} rows without an id, or of a user who has a later one, were left out",) if left else ()
    return Users(frame.reset_index(drop=True), notes)
