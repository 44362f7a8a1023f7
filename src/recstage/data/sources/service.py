"""The service's own database as a source: everything it collected until now, or until an earlier moment.

`docs/database.md` draws the tables. Users who opted out are left out, and so are their events; items that are hidden,
expired or deleted come as not available.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from tqdm import tqdm

from recstage.config import ServiceSource, root
from recstage.data.schema import ITEM, TIME, TYPE, USER, VALUE, RawData
from recstage.errors import DataError, StoreError

URL_VARIABLE = "RECSTAGE_SERVING_DATABASE_URL"
DEFAULT_URL = "sqlite:///data/service.db"
ROWS_AT_ONCE = 200_000
_EVENTS = text(
    "SELECT x.id, x.user_id, x.item_id, x.interaction_type, x.value, x.occurred_at FROM user_interactions x"
    " JOIN users u ON u.user_id = x.user_id WHERE x.id > :after AND x.id <= :until AND NOT u.opted_out"
    " ORDER BY x.id LIMIT :most"
)
_ITEMS = text("SELECT item_id, title, text, hidden, expires_at, deleted_at FROM items ORDER BY item_id")
_CATEGORIES = text("SELECT item_id, category FROM item_categories ORDER BY item_id, position")
_COUNTERS = text("SELECT name, value FROM counters ORDER BY name")


def files(config: ServiceSource) -> list[Path]:
    """None: a database is no file to hash; `pinned` says what it held."""
    return []


def pinned(config: ServiceSource) -> ServiceSource:
    """The same source with what decides its data written down: the newest event, and where the counters of items and
    users are. A later `read` of it gives the same events, less what has been erased since."""
    with _connected(config) as connection:
        until, state = marks(connection)
    return config.model_copy(update={"until": until if config.until is None else config.until, "state": state})


def read(config: ServiceSource) -> RawData:
    """Everything up to `config.until`. Raises `DataError` on a URL that is none, `StoreError` where the database is
    away or has no such tables."""
    with _connected(config) as connection:
        return read_from(connection, config.until)


def marks(connection: Connection) -> tuple[int, str]:
    """The number of the newest event, and a text that changes with the items and with who may be used."""
    newest = connection.execute(text("SELECT max(id) FROM user_interactions")).scalar() or 0
    state = ",".join(f"{name}={value}" for name, value in connection.execute(_COUNTERS))
    return int(newest), state


def read_from(connection: Connection, until: int | None = None) -> RawData:
    """Everything up to the event of number `until` (all by default), over an open connection."""
    newest = marks(connection)[0] if until is None else until
    events = pd.concat(list(_events(connection, newest)))
    return RawData(events=events, items=_items(connection))


def _events(connection: Connection, until: int) -> Iterator[pd.DataFrame]:
    columns = ["id", USER, ITEM, TYPE, VALUE, TIME]
    after = 0
    with tqdm(total=until, desc="read events", unit="event", unit_scale=True, disable=None, delay=2) as bar:
        while True:
            rows = connection.execute(_EVENTS, {"after": after, "until": until, "most": ROWS_AT_ONCE}).all()
            frame = pd.DataFrame.from_records(rows, columns=columns, index="id")
            frame = frame.astype({USER: "str", ITEM: "str", TYPE: "str", VALUE: np.float64})
            yield frame.assign(**{TIME: frame[TIME].astype(np.float64) / 1000})
            if len(rows) < ROWS_AT_ONCE:
                return
            bar.update(rows[-1][0] - after)
            after = rows[-1][0]


def _items(connection: Connection) -> pd.DataFrame:
    names: dict[str, list[str]] = {}
    for item_id, category in connection.execute(_CATEGORIES):
        names.setdefault(item_id, []).append(category)
    now = pd.Timestamp.now("UTC").timestamp() * 1000
    rows = [
        (
            item_id,
            title,
            body,
            names.get(item_id, []),
            not hidden and deleted_at is None and (expires_at is None or expires_at > now),
        )
        for item_id, title, body, hidden, expires_at, deleted_at in connection.execute(_ITEMS)
    ]
    return pd.DataFrame(rows, columns=[ITEM, "title", "text", "categories", "available"])


# -- the connection ---------------------------------------------------------------------------------------------------


@contextmanager
def _connected(config: ServiceSource) -> Iterator[Connection]:
    url = _url(config)
    where = str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
    try:
        with create_engine(_read_only(url), poolclass=NullPool).connect() as connection:
            if url.get_backend_name() != "sqlite":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection
    except ImportError as error:
        raise StoreError(
            where, rule="PostgreSQL is spoken through psycopg 3", fix="pip install 'psycopg[binary]'"
        ) from error
    except SQLAlchemyError as error:
        reason = (str(getattr(error, "orig", None) or error).strip().splitlines() or ["no reason given"])[0]
        raise StoreError(
            where,
            rule=f"the service's database cannot be read ({reason})",
            fix=f"Set {URL_VARIABLE} to it, and run python -m serving.store verify",
        ) from error


def _url(config: ServiceSource) -> URL:
    given = config.url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    try:
        url = make_url(given)
    except ArgumentError as error:
        raise DataError(
            "source.url", rule="it is no database URL", fix="Give sqlite:///path or postgresql://user@host/name"
        ) from error
    if config.url and url.password:
        raise DataError(
            "source.url with a password",
            rule="a run's configuration is logged, and the password with it",
            fix=f"Set {URL_VARIABLE} instead, and leave source.url out",
        )
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    path = Path(str(url.database))
    return URL.create("sqlite", database=str(path if path.is_absolute() else root() / path))


def _read_only(url: URL) -> URL:
    """A SQLite file is opened for reading only, so that a wrong path makes none."""
    if url.get_backend_name() != "sqlite":
        return url
    return URL.create("sqlite", database=f"{Path(str(url.database)).as_uri()}?mode=ro", query={"uri": "true"})
