"""The service's read replica, for reads of whole tables: they cost its primary nothing."""

from __future__ import annotations

import logging
import os
import time

from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

URL_VARIABLE = "RECSTAGE_SERVING_READ_DATABASE_URL"
CATCH_UP_SECONDS = 10.0
_LOOK_SECONDS = 0.1
_WRITTEN = text("SELECT pg_current_wal_flush_lsn()::text")
_REPLAYED = text(
    "SELECT pg_is_in_recovery(), coalesce(pg_last_wal_replay_lsn() >= CAST(:position AS pg_lsn), false),"
    " (SELECT value FROM secrets WHERE name = 'digests')"
)
_KEY = text("SELECT value FROM secrets WHERE name = 'digests'")

log = logging.getLogger(__name__)


def caught_up_with(primary: URL) -> URL | None:
    """The replica, once it has replayed what the primary has written by now; so no user who was erased or opted out
    before is read. None where there is none, it stays behind for `CATCH_UP_SECONDS`, or it is no replica: the log then
    says why, and the primary is to be read."""
    named = os.environ.get(URL_VARIABLE)
    if not named or primary.get_backend_name() == "sqlite":
        return None
    try:
        url = make_url(named).set(drivername="postgresql+psycopg")
        trouble = _trouble(_engine(primary), _engine(url))
    except ArgumentError:
        trouble = "its URL is none"
    except SQLAlchemyError as error:
        reason = (str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__])[0]
        trouble = f"it cannot be compared with the primary ({reason})"
    if trouble is None:
        return url
    log.warning("the read replica is not read, but the primary: %s", trouble)
    return None


def _engine(url: URL) -> Engine:
    return create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 5})


def _trouble(primary: Engine, replica: Engine) -> str | None:
    with primary.connect() as connection:
        position, key = connection.execute(_WRITTEN).scalar(), connection.execute(_KEY).scalar()
    deadline = time.monotonic() + CATCH_UP_SECONDS
    with replica.connect() as connection:
        while True:
            in_recovery, there, replicated_key = connection.execute(_REPLAYED, {"position": position}).one()
            if not in_recovery:
                return "it follows no primary"
            if there:
                same = key is not None and replicated_key is not None and bytes(key) == bytes(replicated_key)
                return None if same else "it holds another database"
            if time.monotonic() >= deadline:
                return f"it stayed behind for {CATCH_UP_SECONDS:.0f} seconds"
            time.sleep(_LOOK_SECONDS)
