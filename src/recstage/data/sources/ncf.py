"""The files of the NCF authors (He et al. 2017): train.rating, test.rating, test.negative, each packed or not.

They bring their own split: one test item a user, and the candidates it is ranked among. `items.csv` beside them may say
more of the items, or map their ids (`item_id`) to MovieLens's (`movie_id`), under which `items_path` knows them.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from recstage.config import NcfSource
from recstage.data.files.file_tree import FileTree, lines_of, unpacked
from recstage.data.schema import ITEM, TIME, USER, RawData
from recstage.data.sources.item_files import Items, files_of_items, items_of, rejected_of, understood
from recstage.data.sources.ratings import COLUMNS, ratings_of
from recstage.data.tables.delimited import DelimitedFile
from recstage.data.tables.values.ids import id_of, ids_of
from recstage.errors import DataError

TRAIN, TEST, NEGATIVES, ITEMS = ".train.rating", ".test.rating", ".test.negative", "items.csv"
OTHER_ID = "movie_id"


def files(config: NcfSource) -> list[Path]:
    """The files that `read` reads."""
    tree = FileTree(config.path)
    found = [_one(tree, TRAIN), _one(tree, TEST), _optional(tree, NEGATIVES), tree.find(ITEMS)]
    named = [tree.on_disk(name) for name in found if name is not None]
    return sorted({*named, *files_of_items(config)})


def read(config: NcfSource) -> RawData:
    """Interactions of type `rating`, the rating as value. Raises `DataError` where a file is missing or malformed."""
    tree = FileTree(config.path)
    train, test = (ratings_of(_ratings(tree, _one(tree, ending)), config.ids) for ending in (TRAIN, TEST))
    negatives = _optional(tree, NEGATIVES)
    items = _items(tree, config)
    return RawData(
        events=train.frame,
        items=None if items is None else items.frame,
        test=test.frame,
        negatives=None if negatives is None else _candidates(tree, negatives),
        time_is_clock=bool(len(train.frame)) and float(train.frame[TIME].median()) > 1e8,
        rows_read=train.rows_read + test.rows_read,
        rejected=train.rejected + test.rejected,
        notes=(*train.notes, *test.notes),
        items_rejected=rejected_of(items),
    )


def _one(tree: FileTree, ending: str) -> str:
    name = _optional(tree, ending)
    if name is None:
        raise DataError(
            str(tree.path),
            rule=f"the NCF layout has a file NAME{ending} (or .gz)",
            fix="Give the folder that holds it",
        )
    return name


def _optional(tree: FileTree, ending: str) -> str | None:
    return next((name for name in tree.names if unpacked(name).endswith(ending)), None)


def _ratings(tree: FileTree, name: str) -> DelimitedFile:
    return DelimitedFile(tree, name, separator="\t", names=COLUMNS)


def _candidates(tree: FileTree, name: str) -> pd.DataFrame:
    """One row a candidate, from lines `(user,item)<tab>candidate<tab>candidate...`."""
    users: list[str | None] = []
    items: list[str | None] = []
    for number, line in enumerate(lines_of(tree.read(name)), 1):
        if not line:
            continue
        first, *candidates = line.split("\t")
        if not (first.startswith("(") and first.endswith(")") and "," in first):
            raise DataError(
                f"{tree.label(name)}: line {number}: '{line[:40]}'",
                rule="a line reads (user,item) and candidates, separated by tabs",
                fix="Mend the file",
            )
        users += [id_of(first[1:-1].split(",")[0])] * len(candidates)
        items += map(id_of, candidates)
    return pd.DataFrame({USER: users, ITEM: items})


def _items(tree: FileTree, config: NcfSource) -> Items | None:
    named = tree.find(ITEMS)
    if named is None:
        return items_of(config)
    file = DelimitedFile(tree, named, separator=",")
    own = file.read()
    if OTHER_ID not in own.frame or ITEM not in own.frame:
        return items_of(config) or understood(own, file.where, ids=config.ids)
    more = items_of(config)
    if more is None:
        return understood(own, file.where, {ITEM: ITEM}, config.ids)
    mapping = pd.DataFrame({name: ids_of(own.frame[name], config.ids)[0].astype(object) for name in (ITEM, OTHER_ID)})
    theirs = more.frame.rename(columns={ITEM: OTHER_ID})
    return Items(mapping.merge(theirs, on=OTHER_ID, how="inner").drop(columns=OTHER_ID), more.rejected, more.notes)
