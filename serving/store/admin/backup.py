"""Whole databases: backing up, verifying, restoring. SQLite by its online backup (nobody has to stop), PostgreSQL by
pg_dump and psql where they are installed.
"""

from __future__ import annotations

import os
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
from recstage.errors import StoreError
from serving.store.db.connection import connect_sqlite, open_tool_engine, refusal, shown, sqlite_path, translated
from serving.store.db.errors import StoreAway, StoreBroken, StoreOutOfStep
from serving.store.db.tables import Table

VERSION_TABLE = "alembic_version"
_PAGES_AT_ONCE = 4096  # 16 MB: between two steps, writers get their turn


@dataclass(frozen=True)
class Verification:
    """What a sound database holds."""

    revision: str | None
    rows: dict[str, int]


# -- verify -----------------------------------------------------------------------------------------------------------


def verify(url: URL) -> Verification:
    """Check that the database is sound: integrity, foreign keys, a revision, rows of each table. Raises `StoreBroken`
    naming the first fault, `StoreAway` where there is nothing."""
    path = sqlite_path(url)
    if path is not None:
        return verify_file(path)
    engine = open_tool_engine(url)
    with translated(url), engine.connect() as connection:
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
    """`verify` for a SQLite file, the live one or a backup."""
    url = URL.create("sqlite", database=str(path))
    with translated(url):
        if not path.is_file():
            raise StoreAway(str(path), rule="there is no such file", fix="Give an existing database or backup")
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10.0)) as connection:
            return _verified(connection, path)


def _verified(connection: sqlite3.Connection, path: Path) -> Verification:
    faults = [row[0] for row in connection.execute("PRAGMA integrity_check(3)") if row[0] != "ok"]
    orphans = connection.execute("PRAGMA foreign_key_check").fetchmany(3)
    faults += [f"a row of {table} points to a missing row of {parent}" for table, _, parent, _ in orphans]
    if faults:
        raise _broken(str(path), f"it fails its check: {'; '.join(faults)}")
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


def _broken(where: str, rule: str) -> StoreBroken:
    return StoreBroken(where, rule=rule, fix="Restore a backup: python -m serving.store restore BACKUP")


# -- back up ----------------------------------------------------------------------------------------------------------


def default_place(url: URL, revision: str | None) -> Path:
    """Where a backup goes unless told: `backups/` beside the SQLite file, in `data/` for PostgreSQL."""
    path = sqlite_path(url)
    folder = (path.parent if path else config.root() / "data") / "backups"
    name = path.stem if path else str(url.database)
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    return folder / f"{name}-{moment}-{revision or 'empty'}.{'db' if path else 'dump'}"


def back_up(url: URL, target: Path) -> Verification:
    """Copy the live database to `target`, which appears whole and verified or not at all."""
    if target.exists():
        raise StoreError(str(target), rule="a backup never overwrites a file", fix="Name another file")
    unfinished = target.with_name(target.name + ".unfinished")
    path = sqlite_path(url)
    try:
        with translated(URL.create("sqlite", database=str(target))):
            target.parent.mkdir(parents=True, exist_ok=True)
        if path is not None:
            _copy_sqlite(path, unfinished)
            verification = verify_file(unfinished)
        else:
            _pg(url, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={unfinished}")
            _pg(None, "pg_restore", "--list", str(unfinished))
            verification = verify(url)
        with translated(URL.create("sqlite", database=str(target))):
            _flush(unfinished)
            os.replace(unfinished, target)
            _flush(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)
    return verification


def _copy_sqlite(source: Path, target: Path) -> None:
    with translated(URL.create("sqlite", database=str(source))):
        reader = connect_sqlite(source, 10.0)
    with closing(reader), translated(URL.create("sqlite", database=str(target))):
        target.unlink(missing_ok=True)
        with closing(sqlite3.connect(target, isolation_level=None)) as writer:
            reader.backup(writer, pages=_PAGES_AT_ONCE, sleep=0.005)
            writer.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- restore ----------------------------------------------------------------------------------------------------------


def restore(url: URL, backup: Path) -> Verification:
    """Put a backup in the place of the live database. The backup is verified first; a broken SQLite file that it
    replaces is kept beside as `NAME.broken-TIME`."""
    path = sqlite_path(url)
    if path is not None:
        _refuse_strange(verify_file(backup), backup)
        _restore_sqlite(path, backup)
    else:
        _restore_postgres(url, backup)
    return verify(url)


def _refuse_strange(verification: Verification, backup: Path) -> None:
    if verification.revision is None:
        raise StoreOutOfStep(
            str(backup), rule="it is no backup of the service's database", fix="Give a file that backup made"
        )


def _restore_sqlite(path: Path, backup: Path) -> None:
    url = URL.create("sqlite", database=str(path))
    with translated(url):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not _sound(path):
            _set_aside(path)
        with (
            closing(sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro", uri=True)) as reader,
            closing(connect_sqlite(path, 10.0, create=True)) as writer,
        ):
            try:
                # in one step: connections that are open meanwhile see the old state, then the new one
                reader.backup(writer, pages=-1)
            except sqlite3.Error as error:
                raise refusal(error, url) from error


def _sound(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=10.0)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # locked or unreadable: no reason to throw it away
        return False


def _set_aside(path: Path) -> None:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(f"{path.name}.broken-{moment}{suffix}"))


def _restore_postgres(url: URL, backup: Path) -> None:
    if not backup.is_file():
        raise StoreAway(str(backup), rule="there is no such file", fix="Give an existing backup")
    engine = open_tool_engine(url)
    with translated(url), engine.connect() as connection:
        present = inspect(connection).get_table_names()
    script = _pg(None, "pg_restore", "--no-owner", "--no-privileges", "--file=-", str(backup))
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
    found = shutil.which(program)
    if found is None:
        raise StoreError(
            program,
            rule="PostgreSQL is backed up and restored by its own programs",
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
        where = shown(url) if url is not None else arguments[-1]
        complaint = (result.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[0]
        raise StoreAway(where, rule=f"{program} failed ({complaint})", fix="Mend that, then try again")
    return result.stdout
