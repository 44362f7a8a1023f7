"""The service's own database as a source: a snapshot of what it collected until now, or until an earlier moment.

`docs/database.md` draws the tables. Users who opted out are left out, and so are their events; items that are hidden,
expired or deleted come as not available.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow.parquet as pq
from sqlalchemy import Connection, text

from recstage.config import ServiceSource
from recstage.data.schema import CONTEXT, ITEM, TIME, TYPE, USER, VALUE, RawData
from recstage.data.snapshots import erased, exposures, extraction
from recstage.data.snapshots.connection import URL_VARIABLE, connected
from recstage.errors import StoreError

__all__ = ["URL_VARIABLE", "files", "pinned", "read", "read_from"]

ROWS_AT_ONCE = 200_000
_EVENTS = text(
    "SELECT x.id, x.user_id, x.item_id, x.interaction_type, x.value, x.occurred_at FROM user_interactions x"
    " JOIN users u ON u.user_id = x.user_id WHERE x.id > :after AND x.id <= :until AND NOT u.opted_out"
    " ORDER BY x.id LIMIT :most"
)
_NEWEST = text("SELECT max(id) FROM user_interactions")


def files(config: ServiceSource) -> list[Path]:
    """The files of the snapshot that the source is pinned to: they decide the data. Raises `StoreError` where they are
    gone."""
    folder = _folder(config)
    named = [extraction.EVENTS, extraction.EXPOSURES, extraction.ITEMS, *([extraction.USERS] if config.users else [])]
    return [folder / name for name in named]


def pinned(config: ServiceSource, snapshots: Path) -> ServiceSource:
    """The same source with a snapshot that holds its data, taken now below `snapshots` unless it names one that is
    there: a later `read` of it gives the same, whatever the service writes meanwhile. Older ones, and data sets made of
    them, that hold users who were erased since are deleted before, also the one that it names."""
    try:
        with connected(config, primary=True) as connection:
            erased.drop_erased(connection, snapshots, snapshots.parent)
    except StoreError:  # where the database is needed, taking the snapshot says so
        pass
    if config.path is not None and (Path(config.path) / extraction.ABOUT).is_file():
        return config
    folder = extraction.take(config, snapshots)
    return config.model_copy(update={"path": str(folder), "until": extraction.about(folder).until})


def read(config: ServiceSource) -> RawData:
    """What the snapshot of a pinned source holds. Raises `StoreError` where it is gone or damaged."""
    folder = _folder(config)
    try:
        moment = [extraction.MOMENT] if config.context else []
        table = pq.read_table(
            folder / extraction.EVENTS,
            columns=["id", USER, ITEM, TYPE, VALUE, extraction.OCCURRED, *moment],
            read_dictionary=[USER, ITEM, TYPE],
        )
        events = table.to_pandas(split_blocks=True, self_destruct=True).set_index("id")
        del table
        events[TIME] = events.pop(extraction.OCCURRED).astype(np.float64) / 1000
        items = pq.read_table(folder / extraction.ITEMS).to_pandas()
        shown = exposures.by_pair(folder / extraction.EXPOSURES)
        users = _with_attributes(pq.read_table(folder / extraction.USERS).to_pandas()) if config.users else None
    except (OSError, ValueError) as error:
        raise StoreError(str(folder), rule="the snapshot is damaged", fix="Delete it and take another") from error
    items["categories"] = items["categories"].map(list)
    if config.context:
        events = pd.concat([events, _moments(events.pop(extraction.MOMENT), config.context)], axis=1)
    return RawData(events=events, items=_with_attributes(items), users=users, exposures=shown)


def read_from(connection: Connection, until: int | None = None) -> RawData:
    """Everything up to the event of number `until` (all by default), over an open connection, without the exposures:
    what the service's own fallback models are fitted on."""
    newest = int(connection.execute(_NEWEST).scalar() or 0) if until is None else until
    items = pd.DataFrame(extraction.items_of(connection), columns=extraction.ITEM_SCHEMA.names)
    return RawData(events=pd.concat(list(_events(connection, newest))), items=_with_attributes(items))


def _moments(given: pd.Series, names: Sequence[str]) -> pd.DataFrame:
    """What events said of their moment: a column `context.NAME` for each of the names."""
    rows = [orjson.loads(text) if isinstance(text, str) else {} for text in given]
    columns = {f"{CONTEXT}{name}": _of_one_kind([row.get(name) for row in rows], given.index) for name in names}
    return pd.DataFrame(columns, index=given.index)


def _with_attributes(table: pd.DataFrame) -> pd.DataFrame:
    """Items or users with a column for each attribute, of its kind, in place of the one that holds them all as JSON."""
    if extraction.ATTRIBUTES not in table:  # a snapshot of an earlier version
        return table
    rows = [orjson.loads(text) if isinstance(text, str) else {} for text in table.pop(extraction.ATTRIBUTES)]
    names = sorted({name for row in rows for name in row})
    columns = {name: _of_one_kind([row.get(name) for row in rows], table.index) for name in names}
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1) if names else table


def _of_one_kind(values: list[Any], index: pd.Index) -> pd.Series:
    """Values as a column; where the service was given two kinds of them, as text."""
    given = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
        return pd.Series(values, index=index, dtype=np.float64)
    if all(isinstance(value, bool) for value in given):
        return pd.Series(values, index=index, dtype=object).astype("boolean")
    if len({type(value) for value in given}) > 1:
        values = [None if value is None else str(value) for value in values]
    return pd.Series(values, index=index, dtype=object)


def _events(connection: Connection, until: int) -> Iterator[pd.DataFrame]:
    columns = ["id", USER, ITEM, TYPE, VALUE, TIME]
    after = 0
    while True:
        rows = connection.execute(_EVENTS, {"after": after, "until": until, "most": ROWS_AT_ONCE}).all()
        frame = pd.DataFrame.from_records(rows, columns=columns, index="id")
        frame = frame.astype({USER: "str", ITEM: "str", TYPE: "str", VALUE: np.float64})
        yield frame.assign(**{TIME: frame[TIME].astype(np.float64) / 1000})
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1][0]


def _folder(config: ServiceSource) -> Path:
    if config.path is None or not (Path(config.path) / extraction.ABOUT).is_file():
        raise StoreError(
            config.path or "the service's database",
            rule="no snapshot was taken of it, or it is gone",
            fix="Prepare the data set again",
        )
    return Path(config.path)
