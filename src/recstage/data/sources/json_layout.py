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
from recstage.data.files.file_tree import FileTree, text_of
from recstage.data.schema import HELD_OUT, ITEM, TIME, TYPE, USER, VALUE, Places, RawData
from recstage.data.sources.events import typed_events
from recstage.data.sources.item_files import files_of_items, items_of, rejected_of
from recstage.data.sources.user_files import files_of_users, users_of
from recstage.data.tables.json_rows import whole
from recstage.data.tables.table import Table
from recstage.data.tables.values.ids import IdRule, id_of
from recstage.errors import DataError

INTERACTIONS, HELD_OUT_TEST, METADATA = "interactions", "held_out_test", "metadata"
RATING, RELEVANT, CANDIDATES = "implicit_rating", "relevant_items", "candidate_items"


def files(config: JsonSource) -> list[Path]:
    """The files that `read` reads."""
    tree = FileTree(config.path)
    return sorted({tree.on_disk(_file_in(tree)), *files_of_items(config), *files_of_users(config)})


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
    names = {USER: USER, ITEM: ITEM, TIME: TIME, "interaction_type": TYPE, RATING: VALUE}
    given = table[[name for name in names if name in table]].rename(columns=names).astype(object)
    given = given.where(given.notna(), None)
    events = typed_events(Table(given, len(given), places=Places(unit="interaction")), where, config.ids)
    frame, metadata = events.frame, content.get(METADATA) or {}
    held_out = _list_of_objects(content, HELD_OUT_TEST, where, optional=True)
    test, negatives = _held_out(held_out, frame[TIME].max() if len(frame) else 0.0, config.ids)
    items = items_of(config)
    return RawData(
        events=frame,
        items=None if items is None else items.frame,
        users=None if (users := users_of(config)) is None else users.frame,
        test=test,
        negatives=negatives,
        time_is_clock=events.is_clock,
        ordered=events.ordered,
        rows_read=len(rows) + (0 if test is None else len(test)),
        rejected=events.rejected,
        places=Places(unit="interaction"),
        notes=(*events.notes, *_against_the_rows(metadata, frame)),
        metadata=metadata if isinstance(metadata, dict) else {},
        items_rejected=rejected_of(items),
    )


def _against_the_rows(metadata: Any, events: pd.DataFrame) -> list[str]:
    """What the metadata counts otherwise than the rows do."""
    if not isinstance(metadata, dict):
        return [f"{METADATA} is no object and is not read"]
    counted = {"users": events[USER].nunique(), "items": events[ITEM].nunique(), "interactions": len(events)}
    notes = []
    for name, value in metadata.items():
        what = name.lower().removeprefix("num_").removeprefix("n_").removesuffix("_count").removeprefix("total_")
        what = what if what in counted else f"{what}s"
        if what in counted and isinstance(value, int) and not isinstance(value, bool) and value != counted[what]:
            notes.append(f"{METADATA}.{name} says {value}, and the rows have {counted[what]} {what}")
    return notes


def is_layout(tree: FileTree, name: str) -> bool:
    """Whether a file is one object with interactions, and not a list of rows or an object a line."""
    try:
        return bool(_parsed(text_of(tree.read(name)), str(tree.path)))
    except DataError:
        return False


def brings_test(tree: FileTree, name: str) -> bool:
    """Whether the file has held-out rows."""
    return bool(_parsed(text_of(tree.read(name)), str(tree.path)).get(HELD_OUT_TEST))


def _file_in(tree: FileTree) -> str:
    jsons = tree.names if tree.path.is_file() and not tree.is_archive else tree.ending(".json")
    if len(jsons) != 1:
        raise DataError(str(tree.path), rule=f"must hold one .json file, and has {len(jsons)}", fix="Name the file")
    return jsons[0]


def _parsed(text: str, where: str) -> dict[str, Any]:
    if not text.strip():
        raise DataError(where, rule="is empty", fix="Give a file with interactions")
    try:
        content = whole(json.loads(text))
    except (ValueError, RecursionError) as error:
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


def _held_out(
    rows: Iterable[Mapping[str, Any]], latest: float, ids: IdRule
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Test rows, as late as the last interaction, and the candidates that are not among them."""
    relevant: list[tuple[str, str]] = []
    candidates: list[tuple[str, str]] = []
    for row in rows:
        try:
            user = id_of(row.get(USER), ids)
            liked = [item for one in row.get(RELEVANT) or [] if (item := id_of(one, ids)) is not None]
            others = [item for one in row.get(CANDIDATES) or [] if (item := id_of(one, ids)) is not None]
        except ValueError as error:
            raise DataError(HELD_OUT_TEST, rule=str(error), fix="Write ids as text or whole numbers") from error
        if user is not None:
            relevant += [(user, item) for item in dict.fromkeys(liked)]
            candidates += [(user, item) for item in dict.fromkeys(others) if item not in set(liked)]
    if not relevant:
        return None, None
    test = pd.DataFrame(relevant, columns=[USER, ITEM], index=np.arange(1, len(relevant) + 1))
    test[TIME], test[TYPE], test[VALUE] = float(latest), HELD_OUT, np.nan
    return test, pd.DataFrame(candidates, columns=[USER, ITEM]) if candidates else None
