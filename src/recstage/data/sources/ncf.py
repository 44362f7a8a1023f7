"""The files of the NCF authors (He et al. 2017): train.rating, test.rating, test.negative, each packed or not.

They bring their own split: one test item a user, and the candidates it is ranked among. `items.csv` beside them may say
more of the items, or map their ids (`item_id`) to MovieLens's (`movie_id`), under which `items_path` knows them.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from recstage.config import NcfSource
from recstage.data.files.delimited import numbers, read_delimited, without_unparsable
from recstage.data.files.file_tree import FileTree, lines_of, unpacked
from recstage.data.schema import ITEM, TIME, TYPE, USER, VALUE, RawData, Unparsable
from recstage.data.sources.item_files import read_items, understood
from recstage.errors import DataError

TRAIN, TEST, NEGATIVES, ITEMS = ".train.rating", ".test.rating", ".test.negative", "items.csv"
OTHER_ID = "movie_id"


def files(config: NcfSource) -> list[Path]:
    """The files that `read` reads."""
    tree = FileTree(config.path)
    found = [_one(tree, TRAIN), _one(tree, TEST), _optional(tree, NEGATIVES), tree.find(ITEMS)]
    named = [tree.on_disk(name) for name in found if name is not None]
    return sorted({*named, *([Path(config.items_path)] if config.items_path else [])})


def read(config: NcfSource) -> RawData:
    """Interactions of type `rating`, the rating as value. Raises `DataError` where a file is missing or malformed."""
    tree = FileTree(config.path)
    events, unparsable = _ratings(tree, _one(tree, TRAIN))
    test, more = _ratings(tree, _one(tree, TEST))
    negatives = _optional(tree, NEGATIVES)
    return RawData(
        events=events,
        items=_items(tree, config.items_path),
        test=test,
        negatives=None if negatives is None else _candidates(tree, negatives),
        time_is_clock=bool(len(events)) and float(events[TIME].median()) > 1e8,
        unparsable=unparsable + more,
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


def _ratings(tree: FileTree, name: str) -> tuple[pd.DataFrame, Unparsable]:
    frame, unparsable = read_delimited(
        tree.read(name), tree.label(name), separator="\t", names=[USER, ITEM, VALUE, TIME], coded=[USER, ITEM]
    )
    frame, parsed, more = without_unparsable(frame, {column: numbers(frame[column]) for column in (VALUE, TIME)})
    frame = frame.assign(**parsed)
    frame[TYPE] = pd.Categorical(["rating"]).repeat(len(frame))
    return frame, unparsable + more


def _candidates(tree: FileTree, name: str) -> pd.DataFrame:
    """One row a candidate, from lines `(user,item)<tab>candidate<tab>candidate...`."""
    users, items = [], []
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
        users += [first[1:-1].split(",")[0]] * len(candidates)
        items += candidates
    return pd.DataFrame({USER: users, ITEM: items})


def _items(tree: FileTree, items_path: str | None) -> pd.DataFrame | None:
    named = tree.find(ITEMS)
    if named is None:
        return read_items(items_path) if items_path else None
    own, _ = read_delimited(tree.read(named), tree.label(named), separator=",")
    if OTHER_ID not in own or ITEM not in own:
        return understood(own, tree.label(named)) if not items_path else read_items(items_path)
    if not items_path:
        return understood(own, tree.label(named), ITEM)
    theirs = read_items(items_path).rename(columns={ITEM: OTHER_ID})
    return own[[ITEM, OTHER_ID]].astype("string").merge(theirs, on=OTHER_ID, how="inner").drop(columns=OTHER_ID)
