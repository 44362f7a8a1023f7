"""Locks of PostgreSQL's sessions, and of files beside a SQLite database."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
HOST_GONE_SECONDS = 11
"""After so long both ends give up a connection whose other end is silent, as `KEEPALIVE` says."""
PATIENCE_SECONDS = 5
_TRY, _LOOK = text("SELECT pg_try_advisory_lock(:key)"), text("SELECT 1")
_GIVE_BACK = text("SELECT pg_advisory_unlock_all()")


class Locks(Protocol):
    """The locks of one process."""

    def take(self, work: str) -> bool:
        """Whether the lock was free, and is taken now. Raises where the database is away."""
        ...

    def check(self) -> None:
        """Raise where what was taken may be lost."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


def locks_of(url: URL) -> Locks:
    """The locks of a database."""
    return FileLocks(Path(str(url.database))) if url.get_backend_name() == "sqlite" else SessionLocks(url)


class SessionLocks:
    """Advisory locks of one connection to PostgreSQL."""

    def __init__(self, url: URL) -> None:
        seen_by_the_server = "".join(f" -c tcp_{name}={value}" for name, value in KEEPALIVE.items())
        arguments = {
            "connect_timeout": 2,
            "tcp_user_timeout": PATIENCE_SECONDS * 1000,
            "options": f"-c statement_timeout={PATIENCE_SECONDS * 1000}{seen_by_the_server}",
            "application_name": "recstage election",
            **KEEPALIVE,
        }
        self._engine = create_engine(url, poolclass=NullPool, connect_args=arguments, isolation_level="AUTOCOMMIT")
        self._connection: Any = None

    def take(self, work: str) -> bool:
        if self._connection is None:
            self._connection = self._engine.connect()
        return bool(self._connection.execute(_TRY, {"key": _key(work)}).scalar())

    def check(self) -> None:
        self._connection.execute(_LOOK)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(DBAPIError):  # the end of the connection gives them back as well, a moment later
                connection.execute(_GIVE_BACK)
            connection.close()


def _key(work: str) -> int:
    digest = hashlib.blake2b(f"recstage {work}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


class FileLocks:
    """Locked files beside a SQLite database."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._files: list[FileLock] = []

    def take(self, work: str) -> bool:
        name = f"{self._database.name}.{work.replace(' ', '-')}.lock"
        file = FileLock(self._database.with_name(name), timeout=0, thread_local=False)
        try:
            file.acquire()
        except Timeout:
            return False
        self._files.append(file)
        return True

    def check(self) -> None:
        pass

    def close(self) -> None:
        for file in self._files:
            file.release()
        self._files.clear()
