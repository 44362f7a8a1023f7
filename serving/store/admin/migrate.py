"""Moving the schema: each change backs up and verifies first, runs in one transaction, is put back when it fails."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from filelock import FileLock, Timeout
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL

from recstage.errors import StoreError
from serving.store.admin import backup
from serving.store.db.connection import WRITE, connect_sqlite, open_tool_engine, shown, sqlite_path, translated
from serving.store.db.errors import StoreBroken, StoreBusy, StoreOutOfStep

MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 7_236_470  # any number, the same in every process
log = logging.getLogger("serving.store")


@dataclass(frozen=True)
class Change:
    """A finished upgrade or downgrade; `backup` is None where there was nothing to back up."""

    before: str | None
    after: str | None
    backup: Path | None


def revision_of(connection: Connection) -> str | None:
    """The revision of a database, None where it has no tables of ours."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(
    url: URL,
    target: str = "head",
    *,
    to: Path | None = None,
    with_backup: bool = True,
    migrations: Path = MIGRATIONS,
) -> Change:
    """Bring the database to `target`, making a SQLite file where there is none. `to`: file of the backup."""
    return _change(url, target, upwards=True, to=to, with_backup=with_backup, migrations=migrations)


def downgrade(
    url: URL, target: str, *, to: Path | None = None, with_backup: bool = True, migrations: Path = MIGRATIONS
) -> Change:
    """Take the database back to `target`: a revision, `-1`, or `base`."""
    return _change(url, target, upwards=False, to=to, with_backup=with_backup, migrations=migrations)


def _change(url: URL, target: str, *, upwards: bool, to: Path | None, with_backup: bool, migrations: Path) -> Change:
    path = sqlite_path(url)
    with _alone(url):
        if path is None or path.exists():
            return _change_existing(url, target, upwards, to, with_backup, migrations)
        if not upwards:
            backup.verify_file(path)  # says that there is none
        with translated(url):
            path.parent.mkdir(parents=True, exist_ok=True)
            connect_sqlite(path, 10.0, create=True).close()
        try:
            return _change_existing(url, target, upwards, to, False, migrations)
        except BaseException:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            raise


def _change_existing(
    url: URL, target: str, upwards: bool, to: Path | None, with_backup: bool, migrations: Path
) -> Change:
    engine = open_tool_engine(url)
    script = _script(migrations)
    kept: Path | None = None
    try:
        with translated(url), engine.connect() as connection, _foreign_keys_off(connection):
            connection = connection.execution_options(**WRITE)
            with connection.begin():  # from here on nobody else writes: the backup lacks no acknowledged event
                server = sqlite_path(url) is None
                if server:
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
                before = revision_of(connection)
                _refuse_newer(before, url, script)
                wanted = _resolve(script, target, before, upwards)
                if before == wanted:
                    return Change(before, before, None)
                empty = before is None and not inspect(connection).get_table_names()
                _refuse_foreign(connection, before, empty, url)
                if with_backup and not empty:
                    kept = to or backup.default_place(url, before)
                    backup.back_up(url, kept)
                _migrate(connection, target, upwards, migrations)
                if not server:
                    _refuse_orphans(connection, url)
        backup.verify(url)
    except StoreError:
        outcome = "nothing was there" if kept is None else _put_back(url, kept, before)
        log.warning("schema change failed", extra={"event": "schema-change-failed", "outcome": outcome})
        raise
    except Exception as error:
        fix = "Mend the migration"
        if kept is not None:
            fix = f"{_put_back(url, kept, before)}; the backup is {kept}"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError(shown(url), rule=f"changing its schema failed ({reason})", fix=fix) from error
    return Change(before, wanted, kept)


def _migrate(connection: Connection, target: str, upwards: bool, migrations: Path) -> None:
    settings = Config()
    settings.set_main_option("script_location", str(migrations).replace("%", "%%"))
    settings.attributes["connection"] = connection
    try:
        (command.upgrade if upwards else command.downgrade)(settings, target)
    except CommandError as error:
        raise StoreOutOfStep(target, rule=str(error), fix="See the files in migrations/versions") from error


def _put_back(url: URL, kept: Path, before: str | None) -> str:
    """The transaction was rolled back; where that did not bring the old state back, the backup does. Says which."""
    try:
        sound = backup.verify(url).revision == before
    except StoreError:
        sound = False
    if sound:
        return "Nothing was changed"
    backup.restore(url, kept)
    return "The backup was restored"


# -- what is refused --------------------------------------------------------------------------------------------------


def _refuse_newer(found: str | None, url: URL, script: ScriptDirectory) -> None:
    known = {revision.revision for revision in script.walk_revisions()}
    if found is not None and found not in known:
        raise StoreOutOfStep(
            f"{shown(url)} at revision {found}",
            rule=f"it is newer than this code, which knows revisions up to {script.get_current_head()}",
            fix="Run the newer code, or restore a backup of an older revision",
        )


def _refuse_foreign(connection: Connection, before: str | None, empty: bool, url: URL) -> None:
    if before is None and not empty and "users" in inspect(connection).get_table_names():
        raise StoreOutOfStep(
            shown(url), rule="it holds tables of something else", fix="Give the service a database of its own"
        )


def _refuse_orphans(connection: Connection, url: URL) -> None:
    orphan = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if orphan is not None:
        raise StoreBroken(
            shown(url),
            rule=f"after the change a row of {orphan[0]} would point to a missing row of {orphan[2]}",
            fix="Mend the migration",
        )


def _resolve(script: ScriptDirectory, target: str, before: str | None, upwards: bool) -> str | None:
    if target == "head":
        return script.get_current_head()
    if target == "base":
        return None
    order = [None, *reversed([revision.revision for revision in script.walk_revisions()])]
    if target.lstrip("+-").isdigit() and target[0] in "+-":
        place = order.index(before) + int(target)
        if 0 <= place < len(order):
            return order[place]
    elif (target in order and (order.index(target) >= order.index(before)) == upwards) or target == before:
        return target
    valid = ", ".join(["base", *(name for name in order if name), "head"])
    raise StoreOutOfStep(
        f"revision {target}",
        rule=f"it is not {'above' if upwards else 'below'} {before or 'base'}, where the database is",
        fix=f"Revisions: {valid}",
    )


def _script(migrations: Path) -> ScriptDirectory:
    return ScriptDirectory(str(migrations))


# -- one at a time ----------------------------------------------------------------------------------------------------


@contextmanager
def _alone(url: URL) -> Iterator[None]:
    path = sqlite_path(url)
    if path is None:
        yield  # an advisory lock of the server does it, inside the transaction
        return
    with translated(url):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(str(path) + ".lock", timeout=30)
    try:
        with translated(url):
            lock.acquire()
    except Timeout as error:
        raise StoreBusy(str(path), rule="another upgrade is under way", fix="Wait for it") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """While SQLite rebuilds tables; `_refuse_orphans` looks afterwards. The connection is closed after use."""
    if connection.dialect.name == "sqlite":
        connection.connection.dbapi_connection.execute("PRAGMA foreign_keys=OFF")  # type: ignore[union-attr]
    yield
