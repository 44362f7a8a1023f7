"""Back up, verify and restore a whole database.

SQLite by its online backup, while the service runs; PostgreSQL by its own programs pg_dump, pg_restore and psql.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, inspect, select, text
from sqlalchemy.engine import URL

from recstage import config
from recstage.errors import ExternalToolError, StoreError
from serving.store.db.connection import (
    connect_sqlite,
    display_url,
    open_tool_engine,
    sqlite_path,
    to_store_error,
    translate_errors,
)
from serving.store.db.errors import SchemaMismatch, StoreCorrupt, StoreFull, StoreUnavailable
from serving.store.db.tables import Table

VERSION_TABLE = "alembic_version"
NAME_OF_BACKUP = re.compile(r"(?P<database>.+)-\d{8}T\d{12}-[^-]+\.(db|dump)")
"""As `default_path` names them: the moment sorts them."""
_PAGES_PER_STEP = 4096  # 16 MB: between two steps, writers get the lock


@dataclass(frozen=True)
class Verification:
    """Revision and rows by table of a valid database."""

    revision: str | None
    rows: dict[str, int]


# -- verify -----------------------------------------------------------------------------------------------------------


def verify(url: URL) -> Verification:
    """Check integrity and foreign keys, and read the revision and the number of rows of each table.

    Raises `StoreCorrupt` naming the first faults, `StoreUnavailable` where there is no database.
    """
    path = sqlite_path(url)
    if path is not None:
        return verify_file(path)
    engine = open_tool_engine(url)
    with translate_errors(url), engine.connect() as connection:
        present = set(inspect(connection).get_table_names())
        revision = (
            connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
            if VERSION_TABLE in present
            else None
        )
        rows = {
            name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
            for name, table in Table.metadata.tables.items()
            if name in present
        }
    return Verification(revision, rows)


def verify_file(path: Path) -> Verification:
    """`verify` for a SQLite file: the live database or a backup."""
    url = URL.create("sqlite", database=str(path))
    with translate_errors(url):
        if not path.is_file():
            raise StoreUnavailable(str(path), rule="there is no such file", fix="Give an existing database or backup")
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10.0)) as connection:
            return _verified(connection, path)


def _verified(connection: sqlite3.Connection, path: Path) -> Verification:
    faults = [row[0] for row in connection.execute("PRAGMA integrity_check(3)") if row[0] != "ok"]
    orphans = connection.execute("PRAGMA foreign_key_check").fetchmany(3)
    faults += [f"a row of {table} points to a missing row of {parent}" for table, _, parent, _ in orphans]
    if faults:
        raise _corrupt(str(path), f"it fails its integrity check: {'; '.join(faults)}")
    present = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    revision = None
    if VERSION_TABLE in present:
        found = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
        revision = found[0] if found else None
    rows = {
        name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        for name in Table.metadata.tables
        if name in present
    }
    return Verification(revision, rows)


def _corrupt(where: str, rule: str) -> StoreCorrupt:
    return StoreCorrupt(where, rule=rule, fix="Restore a backup: python -m serving.store restore BACKUP")


# -- back up ----------------------------------------------------------------------------------------------------------


def default_path(url: URL, revision: str | None) -> Path:
    """The default path of a backup: in `backups/` next to the SQLite file, in `data/backups/` for PostgreSQL."""
    path = sqlite_path(url)
    folder = (path.parent if path else config.root() / "data") / "backups"
    name = path.stem if path else str(url.database)
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    return folder / f"{name}-{moment}-{revision or 'empty'}.{'db' if path else 'dump'}"


def keep_newest(newest: Path, number: int) -> list[Path]:
    """Delete the backups beside `newest` that `default_path` named after the same database, all but the newest
    `number`; returns what was deleted, oldest first. Files of another name are not touched."""
    stem = NAME_OF_BACKUP.fullmatch(newest.name)
    assert stem is not None, newest
    found = sorted(
        one
        for one in newest.parent.iterdir()
        if (match := NAME_OF_BACKUP.fullmatch(one.name)) and match["database"] == stem["database"]
    )
    deleted = found[:-number]
    for one in deleted:
        one.unlink()
    return deleted


def back_up(url: URL, target: Path) -> Verification:
    """Copy the live database to `target`, which appears complete and verified, or not at all."""
    if target.exists():
        raise StoreError(str(target), rule="a backup never overwrites a file", fix="Name another file")
    unfinished = target.with_name(target.name + ".unfinished")
    path = sqlite_path(url)
    try:
        with translate_errors(URL.create("sqlite", database=str(target))):
            target.parent.mkdir(parents=True, exist_ok=True)
        if path is not None:
            _copy_sqlite(path, unfinished)
            verification = verify_file(unfinished)
        else:
            _pg(url, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={unfinished}")
            _pg(None, "pg_restore", "--list", str(unfinished))
            verification = verify(url)
        with translate_errors(URL.create("sqlite", database=str(target))):
            _flush(unfinished)
            os.replace(unfinished, target)
            _flush(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)
    return verification


def _copy_sqlite(source: Path, target: Path) -> None:
    with translate_errors(URL.create("sqlite", database=str(source))):
        reader = connect_sqlite(source, 10.0)
    with closing(reader), translate_errors(URL.create("sqlite", database=str(target))):
        target.unlink(missing_ok=True)
        with closing(sqlite3.connect(target, isolation_level=None)) as writer:
            reader.backup(writer, pages=_PAGES_PER_STEP, sleep=0.005)
            writer.execute("PRAGMA journal_mode=DELETE")  # one file, without a write-ahead log


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- restore ----------------------------------------------------------------------------------------------------------


def restore(url: URL, backup: Path) -> Verification:
    """Replace the live database by a backup, which is verified first.

    A corrupt SQLite file is kept as `NAME.broken-TIME` in the same folder.
    """
    path = sqlite_path(url)
    if path is not None:
        _refuse_foreign_backup(verify_file(backup), backup)
        _restore_sqlite(path, backup)
    else:
        _restore_postgres(url, backup)
    return verify(url)


def _refuse_foreign_backup(verification: Verification, backup: Path) -> None:
    if verification.revision is None:
        raise SchemaMismatch(
            str(backup),
            rule="it is not a backup of the service's database",
            fix="Give a file that the command backup made",
        )


def _restore_sqlite(path: Path, backup: Path) -> None:
    url = URL.create("sqlite", database=str(path))
    with translate_errors(url):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not _is_valid(path):
            _keep_broken_file(path)
        with (
            closing(sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro", uri=True)) as reader,
            closing(connect_sqlite(path, 10.0, create=True)) as writer,
        ):
            try:
                # in one step: open connections see the old state, then the new one
                reader.backup(writer, pages=-1)
            except sqlite3.Error as error:
                raise to_store_error(error, url) from error


def _is_valid(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=10.0)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # locked or unreadable, but not corrupt
        return False


def _keep_broken_file(path: Path) -> None:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(f"{path.name}.broken-{moment}{suffix}"))


def _restore_postgres(url: URL, backup: Path) -> None:
    if not backup.is_file():
        raise StoreUnavailable(str(backup), rule="there is no such file", fix="Give an existing backup")
    engine = open_tool_engine(url)
    with translate_errors(url), engine.connect() as connection:
        present = inspect(connection).get_table_names()
    try:
        script = _pg(None, "pg_restore", "--no-owner", "--no-privileges", "--file=-", str(backup))
    except ExternalToolError as error:
        if error.given == "pg_restore":  # it is not installed
            raise
        raise _corrupt(str(backup), error.rule) from error
    drops = "".join(f'DROP TABLE "{name}" CASCADE;\n' for name in present)
    _pg(
        url,
        "psql",
        "--no-psqlrc",
        "--quiet",
        "--single-transaction",
        "--set=ON_ERROR_STOP=1",
        "--output=/dev/null",
        standard_input=drops.encode() + script,
    )


def _pg(url: URL | None, program: str, *arguments: str, standard_input: bytes | None = None) -> bytes:
    """Run a program of PostgreSQL on `url`, or on no database; returns its output.

    Raises `ExternalToolError` where it is missing or fails, `StoreFull` where it fails for want of space.
    """
    found = shutil.which(program)
    if found is None:
        raise ExternalToolError(
            program,
            rule="PostgreSQL is backed up and restored by its own programs, and this one is not installed",
            fix="Install postgresql-client, or give --no-backup and take care of backups yourself",
        )
    environment = dict(os.environ)
    command = [found, *arguments]
    if url is not None:
        if url.password:
            environment["PGPASSWORD"] = str(url.password)  # not on the command line, where others can read it
        plain = url.set(drivername="postgresql", password=None)
        command += ["--dbname", plain.render_as_string(hide_password=False)]
    result = subprocess.run(command, input=standard_input, capture_output=True, env=environment, check=False)
    if result.returncode:
        where = display_url(url) if url is not None else arguments[-1]
        reason = (result.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[0]
        if os.strerror(errno.ENOSPC) in reason:
            raise StoreFull(where, rule="no space is left on its disk", fix="Free some space, then try again")
        raise ExternalToolError(where, rule=f"{program} failed ({reason})", fix="Correct that, then try again")
    return result.stdout
