"""Schema upgrades and downgrades: after a verified backup, in one transaction, undone when they fail."""

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

from recstage.errors import ExternalToolError, StoreError
from serving.store.admin import backup
from serving.store.db.connection import (
    WRITE,
    connect_sqlite,
    display_url,
    open_tool_engine,
    sqlite_path,
    translate_errors,
)
from serving.store.db.errors import SchemaMismatch, StoreBusy, StoreCorrupt

MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 7_236_470  # an arbitrary number, the same in every process
log = logging.getLogger("serving.store")


@dataclass(frozen=True)
class Change:
    """A finished upgrade or downgrade; `backup` is None where there was nothing to back up."""

    before: str | None
    after: str | None
    backup: Path | None


def revision_of(connection: Connection) -> str | None:
    """The revision of a database, None where it has none of the service's tables."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(
    url: URL,
    target: str = "head",
    *,
    to: Path | None = None,
    with_backup: bool = True,
    migrations: Path = MIGRATIONS,
) -> Change:
    """Upgrade the database to the revision `target`; a missing SQLite file is created.

    `to`: file of the backup, else `backup.default_path`; `with_backup`: false where it is backed up by other means;
    `migrations`: folder of the Alembic scripts.
    """
    return _change(url, target, upwards=True, to=to, with_backup=with_backup, migrations=migrations)


def downgrade(
    url: URL, target: str, *, to: Path | None = None, with_backup: bool = True, migrations: Path = MIGRATIONS
) -> Change:
    """Downgrade the database to `target`: a revision, `-1`, or `base`. Parameters as in `upgrade`."""
    return _change(url, target, upwards=False, to=to, with_backup=with_backup, migrations=migrations)


def _change(url: URL, target: str, *, upwards: bool, to: Path | None, with_backup: bool, migrations: Path) -> Change:
    path = sqlite_path(url)
    with _exclusive(url):
        if path is None or path.exists():
            return _change_existing(url, target, upwards, to, with_backup, migrations)
        if not upwards:
            backup.verify_file(path)  # raises: there is no such file
        with translate_errors(url):
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
        with translate_errors(url), engine.connect() as connection, _foreign_keys_off(connection):
            connection = connection.execution_options(**WRITE)
            with connection.begin():  # holds the write lock: the backup misses no acknowledged event
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
                    kept = to or backup.default_path(url, before)
                    backup.back_up(url, kept)
                _migrate(connection, target, upwards, migrations)
                if not server:
                    _refuse_orphans(connection, url)
        backup.verify(url)
    except (StoreError, ExternalToolError):
        outcome = "nothing was there" if kept is None else _restore_old_state(url, kept, before)
        log.warning("schema change failed", extra={"event": "schema-change-failed", "outcome": outcome})
        raise
    except Exception as error:
        fix = "Correct the migration"
        if kept is not None:
            fix = f"{_restore_old_state(url, kept, before)}; the backup is {kept}"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError(display_url(url), rule=f"changing its schema failed ({reason})", fix=fix) from error
    return Change(before, wanted, kept)


def _migrate(connection: Connection, target: str, upwards: bool, migrations: Path) -> None:
    settings = Config()
    settings.set_main_option("script_location", str(migrations).replace("%", "%%"))
    settings.attributes["connection"] = connection
    try:
        (command.upgrade if upwards else command.downgrade)(settings, target)
    except CommandError as error:
        raise SchemaMismatch(target, rule=str(error), fix="See the files in migrations/versions") from error


def _restore_old_state(url: URL, kept: Path, before: str | None) -> str:
    """Restore the backup where the rollback did not bring the old state back. Returns a sentence that tells which."""
    try:
        unchanged = backup.verify(url).revision == before
    except StoreError:
        unchanged = False
    if unchanged:
        return "Nothing was changed"
    backup.restore(url, kept)
    return "The backup was restored"


# -- checks -----------------------------------------------------------------------------------------------------------


def _refuse_newer(found: str | None, url: URL, script: ScriptDirectory) -> None:
    known = {revision.revision for revision in script.walk_revisions()}
    if found is not None and found not in known:
        raise SchemaMismatch(
            f"{display_url(url)} at revision {found}",
            rule=f"it is newer than this code, which knows revisions up to {script.get_current_head()}",
            fix="Run the newer code, or restore a backup of an older revision",
        )


def _refuse_foreign(connection: Connection, before: str | None, empty: bool, url: URL) -> None:
    if before is None and not empty and "users" in inspect(connection).get_table_names():
        raise SchemaMismatch(
            display_url(url), rule="it holds tables of another program", fix="Give the service a database of its own"
        )


def _refuse_orphans(connection: Connection, url: URL) -> None:
    orphan = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if orphan is not None:
        raise StoreCorrupt(
            display_url(url),
            rule=f"after the change a row of {orphan[0]} would point to a missing row of {orphan[2]}",
            fix="Correct the migration",
        )


def _resolve(script: ScriptDirectory, target: str, before: str | None, upwards: bool) -> str | None:
    if target == "head":
        return script.get_current_head()
    if target == "base":
        return None
    order = [None, *reversed([revision.revision for revision in script.walk_revisions()])]
    if target.lstrip("+-").isdigit() and target[0] in "+-":
        index = order.index(before) + int(target)
        if 0 <= index < len(order):
            return order[index]
    elif (target in order and (order.index(target) >= order.index(before)) == upwards) or target == before:
        return target
    valid = ", ".join(["base", *(name for name in order if name), "head"])
    raise SchemaMismatch(
        f"revision {target}",
        rule=f"it is not {'above' if upwards else 'below'} {before or 'base'}, where the database is",
        fix=f"Revisions: {valid}",
    )


def _script(migrations: Path) -> ScriptDirectory:
    return ScriptDirectory(str(migrations))


# -- locking ----------------------------------------------------------------------------------------------------------


@contextmanager
def _exclusive(url: URL) -> Iterator[None]:
    path = sqlite_path(url)
    if path is None:
        yield  # the advisory lock does it, inside the transaction
        return
    with translate_errors(url):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(str(path) + ".lock", timeout=30)
    try:
        with translate_errors(url):
            lock.acquire()
    except Timeout as error:
        raise StoreBusy(str(path), rule="another upgrade is running", fix="Wait until it ends") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """Do not enforce foreign keys while SQLite rebuilds tables; `_refuse_orphans` checks them afterwards.

    The connection is closed after use, so they are not switched on again."""
    if connection.dialect.name == "sqlite":
        connection.connection.dbapi_connection.execute("PRAGMA foreign_keys=OFF")  # type: ignore[union-attr]
    yield
