"""The schema: made, moved, backed up, put back; and what is refused, in one line."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from recstage.errors import ConfigError, StoreError
from serving.store.admin import backup, migrate, revision
from serving.store.db import connection
from serving.store.db.connection import open_tool_engine, parse_url, sqlite_path
from serving.store.db.errors import StoreAway, StoreBroken, StoreBusy, StoreFull, StoreOutOfStep
from serving.store.db.reader import Query, Reader
from serving.store.db.tables import Table
from serving.store.db.writer import Writer
from serving.store.repositories.events import RecordEvents
from tests.serving.store.records import empty_postgres, event, locked


def put(url, n: int = 3) -> None:
    writer = Writer(url)
    writer.submit(RecordEvents([event(f"u{i}", idempotency_key=f"{i}") for i in range(n)])).result()
    writer.close()


def events(url) -> int:
    return backup.verify(url).rows["user_interactions"]


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """The migrations and one more, whose `upgrade` a test writes."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


HEAD, NEXT = revision.newest(), "0003"


def further(migrations: Path, body: str) -> None:
    text = f"import sqlalchemy as sa\nfrom alembic import op\n\nrevision, down_revision = '{NEXT}', '{HEAD}'\n\n\n"
    text += f"def upgrade():\n    {body}\n\n\ndef downgrade():\n    op.drop_column('users', 'nickname')\n"
    (migrations / "versions" / f"{NEXT}_more.py").write_text(text)


COUNT = Query("count", text("SELECT count(*) FROM users"))
ADD = "op.add_column('users', sa.Column('nickname', sa.Text()))"


# -- making and moving ------------------------------------------------------------------------------------------------


def test_the_migrations_make_exactly_the_tables_of_the_code(url):
    with open_tool_engine(url).connect() as connected:
        context = MigrationContext.configure(connected, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


def test_the_number_of_the_newest_revision_is_that_of_alembic():
    assert revision.newest() == migrate._script(migrate.MIGRATIONS).get_current_head()


def test_an_upgrade_makes_a_missing_file_with_its_folder(tmp_path):
    url = parse_url(f"sqlite:///{tmp_path}/new/folder/service.db")
    assert migrate.upgrade(url) == migrate.Change(None, HEAD, None)
    assert backup.verify(url).revision == HEAD
    assert migrate.upgrade(url) == migrate.Change(HEAD, HEAD, None)


def test_every_step_down_and_up_again_leads_back(url, tmp_path):
    try:
        change = migrate.downgrade(url, "base", to=tmp_path / "down")
        assert (change.before, change.after) == (HEAD, None)
        assert backup.verify(url).rows == {}
        assert migrate.upgrade(url, to=tmp_path / "up").after == HEAD
    finally:
        if sqlite_path(url) is None:
            empty_postgres(url)
            migrate.upgrade(url)


def test_shown_lists_survive_both_ways(url, tmp_path):
    """Revision 0001 had a row an item, 0002 has a row a list."""
    ranked = "SELECT {} FROM {} ORDER BY request_id, rank"
    columns = "request_id, rank, user_id, item_id, score, propensity, method, model_version, shown_at"
    rows = [
        ("r1", 1, "ann", "film", 0.5, 0.75, "als", "7", 5),
        ("r1", 2, "ann", "book", 0.25, 1.0, "als", "7", 5),
        ("r2", 1, "bob", "film", -1.0, 1.0, "popularity", None, 6),
    ]
    put(url)
    try:
        migrate.downgrade(url, "0001", to=tmp_path / "down")
        with open_tool_engine(url).begin() as connected:
            for user_id in ("ann", "bob"):
                user = f"VALUES ('{user_id}', 1, 1, false)"
                connected.execute(text(f"INSERT INTO users (user_id, created_at, history_version, opted_out) {user}"))
            for item_id in ("film", "book"):
                item = f"VALUES ('{item_id}', 1, 1, false)"
                connected.execute(text(f"INSERT INTO items (item_id, created_at, updated_at, hidden) {item}"))
            for row in rows:
                named = dict(zip(columns.split(", "), row, strict=True))
                places = ", ".join(f":{name}" for name in named)
                connected.execute(text(f"INSERT INTO recommendation_impressions ({columns}) VALUES ({places})"), named)
        migrate.upgrade(url, to=tmp_path / "up")
        with open_tool_engine(url).connect() as connected:
            assert connected.execute(text(ranked.format(columns, "shown_items"))).all() == rows
            counts = dict(connected.execute(text("SELECT item_id, shown FROM item_exposures")).all())
        assert counts == {"film": 2, "book": 1}
        assert backup.verify(url).rows["recommendation_impressions"] == 2
        migrate.downgrade(url, "0001", to=tmp_path / "down again")
        with open_tool_engine(url).connect() as connected:
            assert connected.execute(text(ranked.format(columns, "recommendation_impressions"))).all() == rows
    finally:
        migrate.upgrade(url, with_backup=False)


def test_an_upgrade_backs_up_what_was_there(sqlite_url, migrations):
    put(sqlite_url)
    further(migrations, ADD)
    change = migrate.upgrade(sqlite_url, migrations=migrations)
    assert (change.before, change.after) == (HEAD, NEXT)
    kept = backup.verify_file(change.backup)
    assert (kept.revision, kept.rows["user_interactions"]) == (HEAD, 3)
    assert events(sqlite_url) == 3
    assert migrate.downgrade(sqlite_url, "-1", migrations=migrations).after == HEAD


def test_a_migration_that_fails_leaves_everything_as_it_was(sqlite_url, migrations):
    put(sqlite_url)
    further(
        migrations, f"{ADD}\n    op.execute('DELETE FROM user_interactions')\n    raise RuntimeError('out of luck')"
    )
    with pytest.raises(StoreError, match=r"failed \(out of luck\)\. Nothing was changed; the backup is"):
        migrate.upgrade(sqlite_url, migrations=migrations)
    assert backup.verify(sqlite_url).revision == HEAD
    assert events(sqlite_url) == 3


def test_a_migration_that_breaks_out_of_its_transaction_is_put_back_from_the_backup(sqlite_url, migrations):
    put(sqlite_url)
    away = "op.get_bind().connection.driver_connection.execute('COMMIT')"
    renumber = "op.execute('UPDATE alembic_version SET version_num = 9')"
    further(migrations, f"{ADD}\n    {renumber}\n    {away}\n    raise RuntimeError('half done')")
    with pytest.raises(StoreError, match="The backup was restored"):
        migrate.upgrade(sqlite_url, migrations=migrations)
    assert backup.verify(sqlite_url).revision == HEAD
    assert events(sqlite_url) == 3


def test_a_migration_that_would_leave_orphans_is_refused(sqlite_url, migrations):
    put(sqlite_url)
    further(migrations, "op.execute('DELETE FROM users')")
    with pytest.raises(StoreBroken, match="a row of user_interactions would point to a missing row of users"):
        migrate.upgrade(sqlite_url, migrations=migrations)
    assert events(sqlite_url) == 3


def test_a_failed_first_upgrade_leaves_no_file(tmp_path, migrations):
    further(migrations, "raise RuntimeError('no')")
    url = parse_url(f"sqlite:///{tmp_path}/new.db")
    with pytest.raises(StoreError, match=r"changing its schema failed \(no\)\. Mend the migration"):
        migrate.upgrade(url, migrations=migrations)
    assert not list(tmp_path.glob("new.db*[!k]"))


def test_an_event_acknowledged_during_an_upgrade_is_not_lost(sqlite_url, migrations):
    """The upgrade fails after the backup; what others wrote while it waited for the lock is still there."""
    put(sqlite_url)
    further(migrations, "raise RuntimeError('no')")
    writer = Writer(sqlite_url, busy_timeout=10)
    future = writer.submit(RecordEvents([event("late")]))
    with pytest.raises(StoreError):
        migrate.upgrade(sqlite_url, migrations=migrations)
    assert future.result(timeout=10) == ["stored"]
    writer.close()
    assert events(sqlite_url) == 4


def test_a_postgres_upgrade_that_fails_leaves_everything_as_it_was(postgres_url, migrations, tmp_path):
    put(postgres_url)
    further(migrations, f"{ADD}\n    raise RuntimeError('out of luck')")
    with pytest.raises(StoreError, match="Nothing was changed"):
        migrate.upgrade(postgres_url, migrations=migrations, to=tmp_path / "kept.dump")
    assert events(postgres_url) == 3
    assert (tmp_path / "kept.dump").stat().st_size > 0


# -- backing up, restoring --------------------------------------------------------------------------------------------


def test_a_backup_holds_everything_and_a_restore_brings_it_back(url, tmp_path):
    put(url)
    file = tmp_path / "kept"
    assert backup.back_up(url, file).rows["user_interactions"] == 3
    writer = Writer(url)
    writer.submit(RecordEvents([event("later")])).result()
    writer.close()
    assert events(url) == 4
    assert backup.restore(url, file).rows["user_interactions"] == 3
    assert events(url) == 3


def test_a_sqlite_backup_is_one_file_taken_while_others_write(sqlite_url, tmp_path):
    put(sqlite_url)
    with locked(sqlite_url):
        backup.back_up(sqlite_url, tmp_path / "kept" / "b.db")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["b.db"]
    assert backup.verify_file(tmp_path / "kept" / "b.db").rows["users"] == 3


def test_readers_that_are_open_see_what_was_restored(sqlite_url, tmp_path):
    put(sqlite_url)
    backup.back_up(sqlite_url, tmp_path / "b.db")
    reader = Reader(sqlite_url)
    put(sqlite_url, 5)
    assert reader.rows(COUNT) == [(5,)]
    backup.restore(sqlite_url, tmp_path / "b.db")
    assert reader.rows(COUNT) == [(3,)]
    reader.close()


def test_a_restore_keeps_a_broken_file_beside(sqlite_url, tmp_path):
    put(sqlite_url)
    backup.back_up(sqlite_url, tmp_path / "b.db")
    path = sqlite_path(sqlite_url)
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreBroken, match="it is no sound database"):
        backup.verify(sqlite_url)
    assert backup.restore(sqlite_url, tmp_path / "b.db").rows["user_interactions"] == 3
    assert len(list(path.parent.glob("service.db.broken-*"))) == 1


def test_a_restore_refuses_a_damaged_or_foreign_backup_and_changes_nothing(sqlite_url, tmp_path):
    put(sqlite_url)
    good, damaged, foreign = tmp_path / "good.db", tmp_path / "damaged.db", tmp_path / "foreign.db"
    backup.back_up(sqlite_url, good)
    content = bytearray(good.read_bytes())
    content[8192 : 8192 + 4096 * 6] = b"\xff" * 4096 * 6
    damaged.write_bytes(content)
    with closing(sqlite3.connect(foreign)) as connected:
        connected.execute("CREATE TABLE cats (name TEXT)")
    with pytest.raises(StoreBroken):
        backup.restore(sqlite_url, damaged)
    with pytest.raises(StoreOutOfStep, match="it is no backup of the service's database"):
        backup.restore(sqlite_url, foreign)
    assert events(sqlite_url) == 3


def test_a_row_that_points_nowhere_is_found(sqlite_url):
    put(sqlite_url)
    with closing(sqlite3.connect(sqlite_path(sqlite_url))) as plain:
        plain.execute("DELETE FROM users WHERE user_id = 'u1'")
        plain.commit()
    with pytest.raises(StoreBroken, match="a row of user_interactions points to a missing row of users"):
        backup.verify(sqlite_url)


def test_a_backup_never_overwrites(sqlite_url, tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(StoreError, match="a backup never overwrites a file"):
        backup.back_up(sqlite_url, tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_backup_that_finds_no_space_leaves_nothing_half_written(sqlite_url, tmp_path, monkeypatch):
    put(sqlite_url)

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(backup, "_flush", full)
    with pytest.raises(StoreFull, match=r"no space is left on its disk\. Free some space, then try again"):
        backup.back_up(sqlite_url, tmp_path / "kept" / "b.db")
    assert list((tmp_path / "kept").iterdir()) == []


# -- what is refused --------------------------------------------------------------------------------------------------


def test_a_newer_database_is_refused(sqlite_url, migrations):
    further(migrations, ADD)
    migrate.upgrade(sqlite_url, migrations=migrations)
    reader = Reader(sqlite_url)
    with pytest.raises(StoreOutOfStep, match=f"{NEXT}: it is newer than this code, which works with revision {HEAD}"):
        revision.check(reader)
    with pytest.raises(StoreOutOfStep, match=f"it is newer than this code, which knows revisions up to {HEAD}"):
        migrate.upgrade(sqlite_url)
    reader.close()


def test_an_older_or_empty_database_asks_for_an_upgrade(url):
    with open_tool_engine(url).begin() as connected:
        connected.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    reader = Reader(url)
    try:
        with pytest.raises(StoreOutOfStep, match=f"at revision 0000: this code works with revision {HEAD}"):
            revision.check(reader)
    finally:
        with open_tool_engine(url).begin() as connected:
            connected.execute(text(f"UPDATE alembic_version SET version_num = '{HEAD}'"))
        revision.check(reader)
        reader.close()


def test_somebody_elses_database_is_left_alone(tmp_path):
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("CREATE TABLE users (name TEXT)")
    with pytest.raises(StoreOutOfStep, match="it holds tables of something else"):
        migrate.upgrade(parse_url(f"sqlite:///{path}"))


@pytest.mark.parametrize(
    ("change", "target"), [(migrate.upgrade, "0009"), (migrate.downgrade, "-3"), (migrate.upgrade, "x")]
)
def test_a_revision_that_does_not_exist_is_refused_with_those_that_do(sqlite_url, change, target):
    with pytest.raises(StoreOutOfStep, match=r"Revisions: base, 0001, 0002, head"):
        change(sqlite_url, target)


def test_a_locked_database_is_busy(sqlite_url, migrations, monkeypatch):
    further(migrations, ADD)
    monkeypatch.setattr(
        migrate, "open_tool_engine", lambda url: connection.open_engine(url, busy_timeout=0.1, pooled=False)
    )
    with locked(sqlite_url), pytest.raises(StoreBusy, match="the database is locked by another process"):
        migrate.upgrade(sqlite_url, migrations=migrations)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    url = parse_url(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(StoreAway, match="there is no such file"):
        backup.verify(url)
    with pytest.raises(StoreAway, match="there is no such file"):
        migrate.downgrade(url, "base")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("wrong", ["mysql://host/name", "sqlite://", "sqlite:///:memory:", "nonsense", ""])
def test_a_url_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError, match="the service keeps its data in a SQLite file or in PostgreSQL"):
        parse_url(wrong)


def test_a_password_is_never_shown():
    assert connection.shown(parse_url("postgresql://me:secret@host/name")) == "postgresql+psycopg://me:***@host/name"
