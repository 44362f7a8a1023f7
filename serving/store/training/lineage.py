"""Lineage: which registered versions were trained on a user, from digests of the ids in each version's bundle.

The registry is read by another process (`python -m serving.store lineage`), so that the serving processes do not
import MLflow. It indexes each registered version once, because a bundle never changes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, bindparam, delete, select

from recstage.data.snapshots.id_digests import contains
from recstage.errors import StoreError
from serving.store.db.bulk import BulkInsert
from serving.store.db.id_digests import Digests
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import TrainedUsers
from serving.store.db.writer import Task
from serving.store.repositories.events import now_ms
from serving.store.repositories.users import digests

Registered = tuple[str, str]
"""Name of a registered model and number of a version."""
INDEX_SECONDS = 120.0

_RECORDED = Query("lineage_versions", select(TrainedUsers.model_name, TrainedUsers.model_version))
_DIGESTS = Query(
    "lineage_digests",
    select(TrainedUsers.digests).where(
        TrainedUsers.model_name == bindparam("name"), TrainedUsers.model_version == bindparam("version")
    ),
)


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """The registered versions that were trained on a user.

    `complete`: every registered version was searched; if not, `why` is the reason, and `again` whether it may pass.
    """

    versions: tuple[Registered, ...]
    complete: bool
    why: str | None = None
    again: bool = False


class Lineage(Protocol):
    """Finds the versions that were trained on a user."""

    async def trained_on_digest(self, person: bytes) -> TrainedOn:
        """Search every registered version for a user, by the digest of their id; takes seconds."""
        ...

    def indexed(self, user_id: str) -> tuple[Registered, ...]:
        """The versions among those indexed so far; takes milliseconds."""
        ...


class Index(Protocol):
    """Updates the index; returns every version that is registered now. Raises `StoreError`."""

    def __call__(self) -> Awaitable[Sequence[Registered]]: ...


class IndexedLineage:
    """`Lineage` over the store's index."""

    def __init__(self, reader: Reader, index: Index | None) -> None:
        self._reader, self._index = reader, index
        self._lock = asyncio.Lock()

    async def trained_on(self, user_id: str) -> TrainedOn:
        """Search every registered version; only the indexed ones while the registry is unavailable."""
        return await self.trained_on_digest(await asyncio.to_thread(self._digest, user_id))

    async def trained_on_digest(self, person: bytes) -> TrainedOn:
        """The same, by the digest of the user's id."""
        if self._index is None:
            return await asyncio.to_thread(self._search, person, None, "the registry is not followed", again=False)
        try:
            async with self._lock:
                registered = await self._index()
        except StoreError as error:
            return await asyncio.to_thread(self._search, person, None, str(error), again=True)
        return await asyncio.to_thread(self._search, person, registered, None, again=True)

    def indexed(self, user_id: str) -> tuple[Registered, ...]:
        """The versions trained on the user, of those that are indexed. Raises `StoreError`."""
        return self._search(self._digest(user_id), None, None, again=False).versions

    def _digest(self, user_id: str) -> bytes:
        return digests(self._reader).digest(user_id)

    def _search(
        self, person: bytes, registered: Sequence[Registered] | None, why: str | None, *, again: bool
    ) -> TrainedOn:
        recorded = [(name, version) for name, version in self._reader.rows(_RECORDED)]
        wanted = recorded if registered is None else [one for one in recorded if one in set(registered)]
        missing = [] if registered is None else [one for one in registered if one not in set(recorded)]
        if missing:
            why = "the bundle cannot be read of " + ", ".join(f"{name} version {version}" for name, version in missing)
        found = sorted((one for one in wanted if self._holds(one, person)), key=_in_order)
        return TrainedOn(tuple(found), complete=why is None, why=why, again=again and why is not None)

    def _holds(self, registered: Registered, person: bytes) -> bool:
        row = self._reader.row(_DIGESTS, {"name": registered[0], "version": registered[1]})
        return row is not None and contains(bytes(row[0]), person)


def _in_order(registered: Registered) -> tuple[str, int, str]:
    name, version = registered
    return name, int(version) if version.isdigit() else 0, version


class RecordTraining(Task[None]):
    """Record the users a version was trained on."""

    name = "record_training"

    def __init__(self, registered: Registered, user_ids: Iterable[str]) -> None:
        self.registered, self.user_ids = registered, list(user_ids)

    def run(self, connection: Connection) -> None:
        packed = Digests.of(connection).packed(self.user_ids)
        name, version = self.registered
        connection.execute(
            delete(TrainedUsers).where(TrainedUsers.model_name == name, TrainedUsers.model_version == version)
        )
        _INSERT(connection, [(name, version, len(self.user_ids), packed, now_ms())])


_INSERT = BulkInsert(TrainedUsers, ("model_name", "model_version", "n_users", "digests", "recorded_at"))


def recorded(reader: Reader) -> set[Registered]:
    """The versions that are indexed. Raises `StoreError`."""
    return {(name, version) for name, version in reader.rows(_RECORDED)}


def index_in_subprocess(database_url: str, names: Sequence[str], *, seconds: float = INDEX_SECONDS) -> Index:
    """An `Index` that runs `python -m serving.store lineage`."""

    async def index() -> Sequence[Registered]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "serving.store",
            "lineage",
            *names,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # not as an argument, which other accounts can read: it may hold a password
            env={**os.environ, "RECSTAGE_SERVING_DATABASE_URL": database_url},
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), seconds)
        except TimeoutError as error:
            raise _unreadable(f"it took more than {seconds:.0f} seconds") from error
        finally:
            if process.returncode is None:  # too slow, or the service ends
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise _unreadable((err.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1])
        answer = json.loads(out.decode().strip().splitlines()[-1])
        return [(str(name), str(version)) for name, version in answer["registered"]]

    return index


def _unreadable(why: str) -> StoreError:
    return StoreError("the registered versions", rule=f"they could not all be read: {why}", fix="Try again later")
