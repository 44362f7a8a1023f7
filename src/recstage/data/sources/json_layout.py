"""The JSON layout: one object with metadata, interactions and, where it brings a test of its own, held_out_test.

    {"metadata": {...},
     "interactions": [{"user_id", "item_id", "timestamp", "interaction_type", "implicit_rating"}, ...],
     "held_out_test": [{"user_id", "relevant_items": [...], "candidate_items": [...]}, ...]}

`implicit_rating` becomes the value of an interaction; its weight is that of its type, as everywhere. Candidates that
are not relevant are the sampled negatives.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recstage.config import JsonSource
from recstage.data.files.delimited import numbers, without_unparsable
from recstage.data.files.file_tree import FileTree, text_of
from recstage.data.files.timestamps import seconds_of
from recstage.data.schema import HELD_OUT, ITEM, TIME, TYPE, USER, VALUE, RawData
from recstage.data.sources.item_files import read_items
from recstage.errors import DataError

INTERACTIONS, HELD_OUT_TEST, METADATA = "interactions", "held_out_test", "metadata"
RATING, RELEVANT, CANDIDATES = "implicit_rating", "relevant_items", "candidate_items"


def files(config: JsonSource) -> list[Path]:
    """The files that `read` reads."""
    tree = FileTree(config.path)
    return sorted({tree.on_disk(_file_in(tree)), *([Path(config.items_path)] if config.items_path else [])})


def read(config: JsonSource) -> RawData:
    """Raises `DataError` where the file is damaged or not of this layout."""
    tree = FileTree(config.path)
    name = _file_in(tree)
    where = tree.label(name)
    content = _parsed(text_of(tree.read(name)), where)
    rows = _list_of_objects(content, INTERACTIONS, where)
    table = pd.DataFrame(rows, index=np.arange(1, len(rows) + 1))
    missing = [column for column in (USER, ITEM) if column not in table]
    if missing:
        raise DataError(
            f"{where}: {INTERACTIONS} with {', '.join(map(str, table.columns)) or 'no rows'}",
            rule=f"each needs {USER} and {ITEM}",
            fix="Name the fields as the layout does",
        )
    parsed, is_clock = {}, False
    if TIME in table:
        parsed[TIME], is_clock = seconds_of(table[TIME].astype("string"), "auto")
    if RATING in table:
        parsed[RATING] = numbers(table[RATING].astype("string"))
    table, parsed, unparsable = without_unparsable(table, parsed)
    events = pd.DataFrame({USER: ids_of(table[USER]), ITEM: ids_of(table[ITEM])}, index=table.index)
    events[TIME] = parsed.get(TIME, np.arange(len(table), dtype=np.float64))
    events[TYPE] = table["interaction_type"].astype("string") if "interaction_type" in table else "interaction"
    events[VALUE] = parsed.get(RATING, np.nan)
    test, negatives = _held_out(_list_of_objects(content, HELD_OUT_TEST, where, optional=True), events[TIME].max())
    return RawData(
        events=events,
        items=read_items(config.items_path) if config.items_path else None,
        test=test,
        negatives=negatives,
        time_is_clock=is_clock,
        unparsable=unparsable,
        metadata=content.get(METADATA) or {},
    )


def ids_of(column: pd.Series) -> pd.Series:
    """Ids as text, null where they are missing or empty; whole numbers that came as floats lose their '.0'."""
    text = (column.astype("Int64") if pd.api.types.is_float_dtype(column) else column).astype("string").str.strip()
    return text.mask(text.eq(""))


def brings_test(tree: FileTree) -> bool:
    """Whether the file has held-out rows."""
    return bool(_parsed(text_of(tree.read(_file_in(tree))), str(tree.path)).get(HELD_OUT_TEST))


def _file_in(tree: FileTree) -> str:
    jsons = tree.names if tree.path.is_file() and not tree.is_archive else tree.ending(".json")
    if len(jsons) != 1:
        raise DataError(str(tree.path), rule=f"must hold one .json file, and has {len(jsons)}", fix="Name the file")
    return jsons[0]


def _parsed(text: str, where: str) -> dict[str, Any]:
    if not text.strip():
        raise DataError(where, rule="is empty", fix="Give a file with interactions")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(where, rule=f"is not JSON, or truncated ({error})", fix="Get the file again") from error
    if not isinstance(content, dict) or INTERACTIONS not in content:
        raise DataError(
            where,
            rule=f"the JSON layout is an object with a list of {INTERACTIONS}",
            fix="Write it so, or give a table",
        )
    return content


def _list_of_objects(
    content: Mapping[str, Any], name: str, where: str, *, optional: bool = False
) -> list[dict[str, Any]]:
    rows = content.get(name) if optional else content[name]
    if rows is None:
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{where}: {name}", rule="must be a list of objects", fix="Write it as the layout says")
    return rows


def _held_out(rows: Iterable[Mapping[str, Any]], latest: float) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Test rows, as late as the last interaction, and the candidates that are not among them."""
    relevant: list[tuple[str, str]] = []
    candidates: list[tuple[str, str]] = []
    for row in rows:
        user, liked = str(row.get(USER)), [str(item) for item in row.get(RELEVANT) or []]
        relevant += [(user, item) for item in dict.fromkeys(liked)]
        others = dict.fromkeys(str(item) for item in row.get(CANDIDATES) or [])
        candidates += [(user, item) for item in others if item not in set(liked)]
    if not relevant:
        return None, None
    test = pd.DataFrame(relevant, columns=[USER, ITEM], index=np.arange(1, len(relevant) + 1))
    test[TIME], test[TYPE], test[VALUE] = float(latest), HELD_OUT, np.nan
    return test, pd.DataFrame(candidates, columns=[USER, ITEM]) if candidates else None
