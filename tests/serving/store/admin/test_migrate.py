"""Schema upgrades and downgrades: what they change, what they undo when they fail, and what they refuse."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from recstage.errors import StoreError
from serving.store.admin import backup, migrate, revision
from serving.store.db import connection
from serving.store.db.connection import open_tool_engine, parse_url, sqlite_path
from serving.store.db.errors import SchemaMismatch, StoreBusy, StoreCorrupt, StoreUnavailable
from serving.store.db.reader import Reader
from serving.store.db.tables import Table, UserInteraction
from serving.store.db.writer import Writer
from serving.store.repositories.events import RecordEvents
from tests.serving.store.databases import count, empty_postgres, locked
from tests.serving.store.factories import event, record_users


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """A copy of the migrations, to which a test adds one by `add_migration`."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


HEAD = revision.newest()
NEXT = f"{int(HEAD) + 1:04}"


def add_migration(migrations: Path, body: str) -> None:
    """Add a revision whose `upgrade` runs `body`."""
    text = f"import sqlalchemy as sa\nfrom alembic import op\n\nrevision, down_revision = '{NEXT}', '{HEAD}'\n\n\n"
    text += f"def upgrade():\n    {body}\n\n\ndef downgrade():\n    op.drop_column('users', 'nickname')\n"
    (migrations / "versions" / f"{NEXT}_more.py").write_text(text)


ADD = "op.add_column('users', sa.Column('nickname', sa.Text()))"


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


def test_a_downgrade_to_base_and_an_upgrade_lead_back(url, tmp_path):
    try:
        change = migrate.downgrade(url, "base", to=tmp_path / "down")
        assert (change.before, change.after) == (HEAD, None)
        assert backup.verify(url).rows == {}
        assert migrate.upgrade(url, to=tmp_path / "up").after == HEAD
    finally:
        if sqlite_path(url) is None:
            empty_postgres(url)
            migrate.upgrade(url)


def test_impressions_survive_a_downgrade_and_an_upgrade(url, tmp_path):
    """Revision 0001 had a row an item, 0002 has a row a list."""
    ranked = "SELECT {} FROM {} ORDER BY request_id, rank"
    columns = "request_id, rank, user_id, item_id, score, propensity, method, model_version, shown_at"
    rows = [
        ("r1", 1, "ann", "film", 0.5, 0.75, "als", "7", 5),
        ("r1", 2, "ann", "book", 0.25, 1.0, "als", "7", 5),
        ("r2", 1, "bob", "film", -1.0, 1.0, "popularity", None, 6),
    ]
    record_users(url)
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


def test_precomputed_lists_and_erasures_survive_an_upgrade_and_a_downgrade(url, tmp_path):
    """Revision 0005 keys lists by their model's name, and records how far an erasure is."""
    lists = "SELECT {} FROM user_recommendations ORDER BY item_id"
    record_users(url)
    try:
        migrate.downgrade(url, "0004", to=tmp_path / "down")
        with open_tool_engine(url).begin() as connected:
            user, item = connected.execute(text("SELECT user_id, item_id FROM user_interactions")).first()
            columns = "user_id, model_version, item_id, rank, score, method, created_at, expires_at"
            values = f"VALUES ('{user}', '7', '{item}', 1, 0.5, 'als', 1, 2)"
            connected.execute(text(f"INSERT INTO user_recommendations ({columns}) {values}"))
            put = text("INSERT INTO erasures (person, erased_at) VALUES (:person, 5)")
            connected.execute(put, {"person": b"12345678"})
        migrate.upgrade(url, to=tmp_path / "up")
        with open_tool_engine(url).connect() as connected:
            found = connected.execute(text(lists.format("user_id, model_name, model_version, score"))).all()
            erasure = connected.execute(text("SELECT erased_at, finished_at FROM erasures")).all()
        assert found == [(user, "recommender", "7", 0.5)]
        assert erasure == [(5, 5)]
        migrate.downgrade(url, "0004", to=tmp_path / "down again")
        with open_tool_engine(url).connect() as connected:
            assert connected.execute(text(lists.format("user_id, model_version, score"))).all() == [(user, "7", 0.5)]
    finally:
        migrate.upgrade(url, with_backup=False)


def test_an_upgrade_backs_up_what_was_there(sqlite_url, migrations):
    record_users(sqlite_url)
    add_migration(migrations, ADD)
    change = migrate.upgrade(sqlite_url, migrations=migrations)
    assert (change.before, change.after) == (HEAD, NEXT)
    kept = backup.verify_file(change.backup)
    assert (kept.revision, kept.rows["user_interactions"]) == (HEAD, 3)
    assert count(sqlite_url, UserInteraction) == 3
    assert migrate.downgrade(sqlite_url, "-1", migrations=migrations).after == HEAD


def test_a_migration_that_fails_changes_nothing(sqlite_url, migrations):
    record_users(sqlite_url)
    add_migration(
        migrations, f"{ADD}\n    op.execute('DELETE FROM user_interactions')\n    raise RuntimeError('out of luck')"
    )
    with pytest.raises(StoreError, match=r"failed \(out of luck\)\. Nothing was changed; the backup is"):
        migrate.upgrade(sqlite_url, migrations=migrations)
    assert backup.verify(sqlite_url).revision == HEAD
    assert count(sqlite_url, UserInteraction) == 3


def test_after_a_migration_that_ended_its_transaction_the_backup_is_restored(sqlite_url, migrations):
    record_users(sqlite_url)
    commit = "op.get_bind().connection.driver_connection.execute('COMMIT')"
    renumber = "op.execute('UPDATE alembic_version SET version_num = 9')"
    add_migration(migrations, f"{ADD}\n    {renumber}\n    {commit}\n    raise RuntimeError('half done')")
    with pytest.raises(StoreError, match="The backup was restored"):
        migrate.upgrade(sqlite_url, migrations=migrations)
    assert backup.verify(sqlite_url).revision == HEAD
    assert count(sqlite_url, UserInteraction) == 3


def test_a_migration_that_would_leave_orphans_is_refused(sqlite_url, migrations):
    record_users(sqlite_url)
    add_migration(migrations, "op.execute('DELETE FROM users')")
    with pytest.raises(StoreCorrupt, match="a row of user_interactions would point to a missing row of users"):
        migrate.upgrade(sqlite_url, migrations=migrations)
    assert count(sqlite_url, UserInteraction) == 3


def test_a_failed_first_upgrade_leaves_no_file(tmp_path, migrations):
    add_migration(migrations, "raise RuntimeError('no')")
    url = parse_url(f"sqlite:///{tmp_path}/new.db")
    with pytest.raises(StoreError, match=r"changing its schema failed \(no\)\. Correct the migration"):
        migrate.upgrade(url, migrations=migrations)
    assert not list(tmp_path.glob("new.db*[!k]"))


def test_an_event_acknowledged_during_an_upgrade_is_not_lost(sqlite_url, migrations):
    """The upgrade fails after the backup; what others wrote while it waited for the lock is still there."""
    record_users(sqlite_url)
    add_migration(migrations, "raise RuntimeError('no')")
    writer = Writer(sqlite_url, busy_timeout=10)
    future = writer.submit(RecordEvents([event("late")]))
    with pytest.raises(StoreError):
        migrate.upgrade(sqlite_url, migrations=migrations)
    assert future.result(timeout=10) == ["stored"]
    writer.close()
    assert count(sqlite_url, UserInteraction) == 4


def test_a_postgres_upgrade_that_fails_changes_nothing(postgres_url, migrations, tmp_path):
    record_users(postgres_url)
    add_migration(migrations, f"{ADD}\n    raise RuntimeError('out of luck')")
    with pytest.raises(StoreError, match="Nothing was changed"):
        migrate.upgrade(postgres_url, migrations=migrations, to=tmp_path / "kept.dump")
    assert count(postgres_url, UserInteraction) == 3
    assert (tmp_path / "kept.dump").stat().st_size > 0


def test_a_newer_database_is_refused(sqlite_url, migrations):
    add_migration(migrations, ADD)
    migrate.upgrade(sqlite_url, migrations=migrations)
    reader = Reader(sqlite_url)
    with pytest.raises(SchemaMismatch, match=f"{NEXT}: it is newer than this code, which needs revision {HEAD}"):
        revision.check(reader)
    with pytest.raises(SchemaMismatch, match=f"it is newer than this code, which knows revisions up to {HEAD}"):
        migrate.upgrade(sqlite_url)
    reader.close()


def test_an_older_or_empty_database_asks_for_an_upgrade(url):
    with open_tool_engine(url).begin() as connected:
        connected.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    reader = Reader(url)
    try:
        with pytest.raises(SchemaMismatch, match=f"at revision 0000: this code needs revision {HEAD}"):
            revision.check(reader)
    finally:
        with open_tool_engine(url).begin() as connected:
            connected.execute(text(f"UPDATE alembic_version SET version_num = '{HEAD}'"))
        revision.check(reader)
        reader.close()


def test_the_database_of_another_program_is_refused_and_unchanged(tmp_path):
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("CREATE TABLE users (name TEXT)")
    with pytest.raises(SchemaMismatch, match="it holds tables of another program"):
        migrate.upgrade(parse_url(f"sqlite:///{path}"))


@pytest.mark.parametrize(
    ("change", "target"), [(migrate.upgrade, "9009"), (migrate.downgrade, "-99"), (migrate.upgrade, "x")]
)
def test_a_revision_that_does_not_exist_is_refused_with_those_that_do(sqlite_url, change, target):
    with pytest.raises(SchemaMismatch, match=rf"Revisions: base, 0001, .*{HEAD}, head"):
        change(sqlite_url, target)


def test_a_locked_database_is_busy(sqlite_url, migrations, monkeypatch):
    add_migration(migrations, ADD)
    monkeypatch.setattr(
        migrate, "open_tool_engine", lambda url: connection.open_engine(url, busy_timeout=0.1, pooled=False)
    )
    with locked(sqlite_url), pytest.raises(StoreBusy, match="the database is locked by another process"):
        migrate.upgrade(sqlite_url, migrations=migrations)


def test_a_missing_file_is_reported_and_not_created(tmp_path):
    url = parse_url(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(StoreUnavailable, match="there is no such file"):
        backup.verify(url)
    with pytest.raises(StoreUnavailable, match="there is no such file"):
        migrate.downgrade(url, "base")
    assert not (tmp_path / "none.db").exists()
