"""A snapshot: events, shown lists and items of one moment, streamed to Parquet in a folder that its content names.

    data/snapshots/service-3f9a.../
        events.parquet      id, user_id, item_id, interaction_type, value, occurred_at, request_id; context, if read
        exposures.parquet   request_id, user_id, item_id, rank, propensity, method, model_version, shown_at
        items.parquet       item_id, title, text, categories, available
        users.parquet       user_id, role, category, attributes (JSON): where the source reads profiles
        erasures.seen       the erasures that were there to be seen: digest and time, eight bytes each
        users.digests       keyed digests of the ids of all users in it, eight bytes each, sorted
        snapshot.json       counts, the window, where and when it was taken

Users who opted out are left out, with their lists; erased users are not there to be read. Rows go through memory a
batch at a time: on PostgreSQL by a cursor of the server, on SQLite row by row.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, Row, TextClause, inspect, text
from tqdm import tqdm

from recstage.config import ServiceSource
from recstage.data.schema import ITEM, TYPE, USER, VALUE
from recstage.data.snapshots import seen_erasures
from recstage.data.snapshots.connection import connected, digests, shown, url_of
from recstage.errors import StoreError

EVENTS, EXPOSURES, ITEMS = "events.parquet", "exposures.parquet", "items.parquet"
USERS = "users.parquet"
MOMENT = "context"
"""What an event said of its moment, the fields that are read, as a JSON object; null where it said nothing of them."""
DIGESTS, ABOUT = "users.digests", "snapshot.json"
ROWS_AT_ONCE = 50_000
A_DAY_MS = 86_400_000
OCCURRED, SHOWN, REQUEST = "occurred_at", "shown_at", "request_id"
ATTRIBUTES = "attributes"
"""The attributes of an item, as a JSON object; null where it has none."""

_TEXT = pa.string()
EVENT_SCHEMA = pa.schema(
    [("id", pa.int64()), (USER, _TEXT), (ITEM, _TEXT), (TYPE, _TEXT), (VALUE, pa.float64()), (OCCURRED, pa.int64()),
     (REQUEST, _TEXT)]
)  # fmt: skip
EXPOSURE_SCHEMA = pa.schema(
    [(REQUEST, _TEXT), (USER, _TEXT), (ITEM, _TEXT), ("rank", pa.int32()), ("propensity", pa.float64()),
     ("method", _TEXT), ("model_version", _TEXT), (SHOWN, pa.int64())]
)  # fmt: skip
USER_SCHEMA = pa.schema([(USER, _TEXT), ("role", _TEXT), ("category", _TEXT), (ATTRIBUTES, _TEXT)])
ITEM_SCHEMA = pa.schema(
    [(ITEM, _TEXT), ("title", _TEXT), ("text", _TEXT), ("categories", pa.list_(_TEXT)), ("available", pa.bool_()),
     (ATTRIBUTES, _TEXT)]
)  # fmt: skip

_SELECT_EVENTS = text(
    "SELECT x.id, x.user_id, x.item_id, x.interaction_type, x.value, x.occurred_at, x.request_id"
    " FROM user_interactions x JOIN users u ON u.user_id = x.user_id"
    " WHERE x.id <= :until AND x.occurred_at >= :since AND NOT u.opted_out ORDER BY x.id"
)
_SELECT_EVENTS_WITH_CONTEXT = text(
    "SELECT x.id, x.user_id, x.item_id, x.interaction_type, x.value, x.occurred_at, x.request_id,"
    " CAST(x.context AS TEXT) FROM user_interactions x JOIN users u ON u.user_id = x.user_id"
    " WHERE x.id <= :until AND x.occurred_at >= :since AND NOT u.opted_out ORDER BY x.id"
)
_SELECT_PROFILES = text(
    "SELECT p.user_id, p.role, CAST(p.categories AS TEXT), CAST(p.attributes AS TEXT) FROM user_profiles p"
    " JOIN users u ON u.user_id = p.user_id WHERE NOT u.opted_out ORDER BY p.user_id"
)
_SELECT_PROFILES_BEFORE_0011 = text(
    "SELECT p.user_id, p.role, CAST(p.categories AS TEXT), NULL FROM user_profiles p"
    " JOIN users u ON u.user_id = p.user_id WHERE NOT u.opted_out ORDER BY p.user_id"
)
_SELECT_LISTS = text(
    "SELECT x.request_id, x.user_id, CAST(x.items AS TEXT), x.method, x.model_version, x.shown_at"
    " FROM recommendation_impressions x JOIN users u ON u.user_id = x.user_id"
    " WHERE x.shown_at >= :since AND x.shown_at <= :before AND NOT u.opted_out ORDER BY x.shown_at, x.request_id"
)
_SELECT_ITEMS = text(
    "SELECT item_id, title, text, hidden, expires_at, deleted_at, CAST(attributes AS TEXT) FROM items ORDER BY item_id"
)
_SELECT_ITEMS_BEFORE_0004 = text(
    "SELECT item_id, title, text, hidden, expires_at, deleted_at, NULL FROM items ORDER BY item_id"
)
_SELECT_CATEGORIES = text("SELECT item_id, category FROM item_categories ORDER BY item_id, position")
_NEWEST = text("SELECT max(id) FROM user_interactions")
_LATEST = text("SELECT max(occurred_at) FROM user_interactions WHERE id <= :until")
_OPTED_OUT = text("SELECT count(*) FROM users WHERE opted_out")


@dataclass(frozen=True)
class Snapshot:
    """What a snapshot holds. `until`: the number of the newest event; `since`: events and lists before it (milliseconds
    since 1970) are left out; `before`: lists shown later are left out, where it was taken of an earlier moment."""

    database: str
    taken_at: str
    digest: str
    until: int
    since: int
    before: int | None
    users: int
    events: int
    lists: int
    exposures: int
    items: int
    users_opted_out: int


def take(config: ServiceSource, folder: Path) -> Path:
    """The database as a snapshot in a folder below `folder`; the one there is, where it holds just the same. Raises
    `DataError` on a URL that is none, `StoreError` where the database cannot be read or the disk refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder, prefix=".partial-"))
        try:
            with connected(config) as connection:
                about = _extracted(connection, config, partial)
            target = folder / f"service-{about.digest}"
            if (target / ABOUT).is_file():
                return target
            (partial / ABOUT).write_text(json.dumps(asdict(about), indent=1))
            shutil.rmtree(target, ignore_errors=True)  # what was left half deleted
            partial.chmod(0o700)
            os.replace(partial, target)
            return target
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise StoreError(
            str(folder), rule=f"cannot be written ({error.strerror})", fix="Free space or mend its permissions"
        ) from error


def about(folder: Path) -> Snapshot:
    """What a snapshot says of itself. Raises `StoreError` where the folder holds none."""
    try:
        return Snapshot(**json.loads((folder / ABOUT).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(str(folder), rule="holds no whole snapshot", fix="Delete it and take another") from error


def _extracted(connection: Connection, config: ServiceSource, folder: Path) -> Snapshot:
    newest = int(connection.execute(_NEWEST).scalar() or 0)
    until = newest if config.until is None else min(config.until, newest)
    latest = connection.execute(_LATEST, {"until": until}).scalar() or 0
    before = None if config.until is None else int(latest)
    since = int(latest - config.days * A_DAY_MS) if config.days else 0
    digest, users = hashlib.sha256(), set[str]()

    def noted(rows: Sequence[Row]) -> list[tuple]:
        users.update(row[1] for row in rows)
        return [tuple(row) for row in rows]

    def lists(rows: Sequence[Row]) -> list[tuple]:
        users.update(row[1] for row in rows)
        return list(_exploded(rows))

    def with_moment(rows: Sequence[Row]) -> list[tuple]:
        return [(*row[:-1], _chosen(row[-1], config.context)) for row in noted(rows)]

    files = _Files(folder, digest)
    query, schema, read = _SELECT_EVENTS, EVENT_SCHEMA, noted
    if config.context:
        query, schema, read = _SELECT_EVENTS_WITH_CONTEXT, EVENT_SCHEMA.append(pa.field(MOMENT, _TEXT)), with_moment
    events, _ = files.write(EVENTS, schema, _streamed(connection, query, "events", until=until, since=since), read)
    window = {"since": since, "before": (1 << 62) if before is None else before}
    whole_lists = _has(connection, "recommendation_impressions", "items")  # not before revision 0002
    batches = _streamed(connection, _SELECT_LISTS, "shown lists", **window) if whole_lists else iter(())
    exposures, shown_lists = files.write(EXPOSURES, EXPOSURE_SCHEMA, batches, lists)
    items, _ = files.write(ITEMS, ITEM_SCHEMA, iter([items_of(connection)]), list)
    if config.users:
        files.write(
            USERS, USER_SCHEMA, iter([profiles_of(connection)]), lambda rows: [row for row in rows if row[0] in users]
        )
    keyed = digests(connection)
    (folder / DIGESTS).write_bytes(b"" if keyed is None else keyed.packed(users))
    seen_erasures.write(connection, folder)
    return Snapshot(
        database=shown(url_of(config)),
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        digest=digest.hexdigest()[:16],
        until=until,
        since=since,
        before=before,
        users=len(users),
        events=events,
        lists=shown_lists,
        exposures=exposures,
        items=items,
        users_opted_out=int(connection.execute(_OPTED_OUT).scalar() or 0),
    )


class _Files:
    """Writes the Parquet files of a snapshot and digests what is in them."""

    def __init__(self, folder: Path, digest: Any) -> None:
        self._folder, self._digest = folder, digest

    def write(
        self,
        name: str,
        schema: pa.Schema,
        batches: Iterable[Sequence[Any]],
        rows_of: Callable[[Any], list[tuple]],
    ) -> tuple[int, int]:
        """All `batches` of rows, as `rows_of` makes them. Returns the number of rows written, and of rows read."""
        written = read = 0
        self._digest.update(name.encode())
        with pq.ParquetWriter(self._folder / name, schema, compression="zstd") as writer:
            for batch in batches:
                rows = rows_of(batch)
                written, read = written + len(rows), read + len(batch)
                if not rows:
                    continue
                columns = zip(*rows, strict=True)
                made = pa.record_batch(
                    [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
                    schema=schema,
                )
                self._digest.update(made.serialize())
                writer.write_batch(made)
        return written, read


def _streamed(connection: Connection, query: TextClause, what: str, **given: Any) -> Iterator[Sequence[Row]]:
    options = {"stream_results": True, "max_row_buffer": ROWS_AT_ONCE}
    result = connection.execute(query, given, execution_options=options)
    with tqdm(desc=f"read {what}", unit="row", unit_scale=True, disable=None, delay=2) as bar:
        for rows in result.partitions(ROWS_AT_ONCE):
            yield rows
            bar.update(len(rows))


def _exploded(rows: Sequence[Row]) -> Iterator[tuple]:
    """One row for each item of each list; rank 1 is the best."""
    for request_id, user_id, items, method, version, shown_at in rows:
        for rank, entry in enumerate(orjson.loads(items), start=1):
            propensity = entry[2] if len(entry) > 2 else None
            yield request_id, user_id, entry[0], rank, propensity, method, version, shown_at


def _has(connection: Connection, table: str, column: str) -> bool:
    """Whether a table has a column: a database need not be of the newest revision to be trained on."""
    return any(one["name"] == column for one in inspect(connection).get_columns(table))


def _chosen(moment: str | None, names: Sequence[str]) -> str | None:
    """The named fields of a JSON object, as one; None where it has none of them."""
    known = orjson.loads(moment) if moment else None
    found = {name: known[name] for name in names if known.get(name) is not None} if isinstance(known, dict) else {}
    return orjson.dumps(found).decode() if found else None


def profiles_of(connection: Connection) -> list[tuple]:
    """What users declared, as rows of `USER_SCHEMA`."""
    found = []
    query = _SELECT_PROFILES if _has(connection, "user_profiles", ATTRIBUTES) else _SELECT_PROFILES_BEFORE_0011
    for user_id, role, categories, attributes in connection.execute(query):
        declared = orjson.loads(categories) if categories else []
        found.append((user_id, role, declared[0] if declared else None, attributes))
    return found


def items_of(connection: Connection) -> list[tuple]:
    """Every item of the catalogue, as rows of `ITEM_SCHEMA`."""
    query = _SELECT_ITEMS if _has(connection, "items", ATTRIBUTES) else _SELECT_ITEMS_BEFORE_0004
    names: dict[str, list[str]] = {}
    for item_id, category in connection.execute(_SELECT_CATEGORIES):
        names.setdefault(item_id, []).append(category)
    now = datetime.now(UTC).timestamp() * 1000
    return [
        (
            item_id,
            title,
            body,
            names.get(item_id, []),
            not hidden and deleted_at is None and (expires_at is None or expires_at > now),
            attributes,
        )
        for item_id, title, body, hidden, expires_at, deleted_at, attributes in connection.execute(query)
    ]
