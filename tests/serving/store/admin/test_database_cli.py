"""`python -m serving.store`: one JSON line when it is done, one clear line and status 2 when it cannot be."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.interfaces import Impression
from serving.store import __main__ as database
from serving.store.admin import backup, migrate, retention
from serving.store.admin.revision import newest
from serving.store.db import connection
from serving.store.db.connection import parse_url, sqlite_path
from serving.store.db.errors import StoreFull
from serving.store.db.tables import RecommendationImpression, User, UserInteraction
from serving.store.db.writer import Writer
from serving.store.repositories.events import now_ms
from serving.store.repositories.impressions import WriteImpressions
from tests.serving.store.databases import count, exposures, locked
from tests.serving.store.factories import event, record, settings_for

DAY = 86_400_000


@pytest.fixture
def run(sqlite_url, capsys):
    """Runs a command on the fresh database: its status, what it answered, what it complained of."""

    def call(*arguments: str, url=sqlite_url):
        status = database.main([arguments[0], "--url", url.render_as_string(), *arguments[1:]])
        out, err = capsys.readouterr()
        return status, json.loads(out.splitlines()[-1]) if out else None, err

    return call


def test_the_life_of_a_database(run, tmp_path):
    url = parse_url(f"sqlite:///{tmp_path}/new/service.db")
    status, made, _ = run("upgrade", url=url)
    assert (status, made["from"], made["to"], made["backup"]) == (0, None, newest(), None)
    record(url)
    _, kept, _ = run("backup", url=url)
    assert kept["rows"]["user_interactions"] == 1
    record(url)
    assert run("verify", url=url)[1]["rows"]["user_interactions"] == 2
    assert run("verify", kept["backup"], url=url)[1]["rows"]["user_interactions"] == 1
    assert run("restore", kept["backup"], url=url)[1]["rows"]["user_interactions"] == 1
    status, down, _ = run("downgrade", "base", url=url)
    assert (status, down["from"], down["to"]) == (0, newest(), None)
    assert backup.verify_file(Path(down["backup"])).rows["user_interactions"] == 1


def test_a_scheduled_backup_keeps_the_newest_and_any_of_them_can_be_restored(run, tmp_path):
    url = parse_url(f"sqlite:///{tmp_path}/new/service.db")
    run("upgrade", url=url)
    (tmp_path / "new" / "backups").mkdir(exist_ok=True)
    others = [tmp_path / "new" / "backups" / name for name in ("mine.db", "other-20260101T000000000000-0001.db")]
    for path in others:
        path.write_text("not of this database")
    made = []
    for _ in range(4):
        record(url)
        made.append(run("backup", "--keep", "2", url=url)[1])
    assert [one["deleted"] for one in made] == [[], [], [made[0]["backup"]], [made[1]["backup"]]]
    assert all(path.exists() for path in others)
    assert run("restore", made[2]["backup"], url=url)[1]["rows"]["user_interactions"] == 3
    assert run("verify", url=url)[1]["rows"]["user_interactions"] == 3


def test_synthetic_users_are_generated_once_and_the_service_answers_from_them(run, tmp_path):
    url = parse_url(f"sqlite:///{tmp_path}/new/service.db")
    size = ("--users", "30", "--items", "20", "--events", "1500")
    status, made, _ = run("generate", *size, url=url)
    assert (status, made["items"], made["events"], made["stored"]) == (0, 20, 1500, 1500)
    assert made["users"] == 30
    assert run("generate", *size, url=url)[1]["stored"] == 0
    assert run("generate", *size, "--seed", "7", url=url)[1]["stored"] == 1500
    rows = run("verify", url=url)[1]["rows"]
    assert (rows["users"], rows["items"], rows["user_interactions"]) == (30, 20, 3000)
    with TestClient(create_app(settings_for(url, tmp_path))) as client:
        found = client.get("/api/recommendations", params={"user_id": "u00001", "limit": 5}).json()
        assert found["method_used"] != "popularity"
        assert client.get("/api/items/i00003").json()["categories"]


@pytest.mark.parametrize("words", [("--keep", "0"), ("--keep", "many"), ("here.db", "--keep", "3")])
def test_a_number_of_backups_that_makes_no_sense_is_one_line(run, words):
    status, _, complaint = run("backup", *words)
    assert status == 2
    assert len(complaint.strip().splitlines()) == 1


def test_a_backup_goes_to_the_given_file(run, tmp_path):
    assert run("backup", str(tmp_path / "mine.db"))[1]["backup"] == str(tmp_path / "mine.db")
    status, _, complaint = run("backup", str(tmp_path / "mine.db"))
    assert status == 2
    assert complaint.endswith("a backup never overwrites a file. Name another file.\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["verify", "none.db"], "there is no such file"),
        (["restore", "none.db"], "there is no such file"),
        (["upgrade", "9007"], f"it is not above {newest()}, where the database is. Revisions: base, 0001, 0002"),
        (["downgrade", "-99"], f"it is not below {newest()}, where the database is"),
        (["prune", "--days", "0"], "--days 0: the age in days must be positive"),
        (["precompute", "--limit", "0"], "--limit 0: it must be above 0"),
        (["precompute", "--top", "0"], "--top 0: it must be above 0. Leave it out for all users."),
        (["precompute", "--active-days", "-1"], "--active-days -1: it must be above 0"),
        (["precompute", "--users", "none.txt"], "--users none.txt: there is no such file. Give one id a line."),
        (["precompute", "--name", "recommender-reverse"], "the service reads stored lists of 'recommender' alone"),
        (["generate", "--events", "0"], "--events 0: it must be above 0. Leave it out for the default."),
        (["prune"], "the following arguments are required: --days"),
        (["downgrade"], "the following arguments are required: revision"),
        (["verify", "--fast"], "unrecognized arguments: --fast"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_status_2(run, arguments, sentence):
    status, answer, complaint = run(*arguments)
    assert (status, answer) == (2, None)
    assert complaint.startswith("recstage: ")
    assert sentence in complaint
    assert complaint.count("\n") == 1


def test_an_unknown_command_is_one_line(capsys):
    assert database.main(["upgarde"]) == 2
    complaint = capsys.readouterr().err
    assert (
        "choose from 'upgrade', 'downgrade', 'backup', 'verify', 'restore', 'prune', 'generate', 'lineage'" in complaint
    )
    assert complaint.count("\n") == 1


def test_a_newer_database_is_one_line(run, sqlite_url):
    with sqlite3.connect(sqlite_path(sqlite_url)) as plain:
        plain.execute("UPDATE alembic_version SET version_num = '0042'")
    status, _, complaint = run("upgrade")
    assert status == 2
    assert "at revision 0042: it is newer than this code" in complaint


def test_a_locked_database_is_one_line(run, sqlite_url, monkeypatch):
    impatient = partial(connection.open_engine, busy_timeout=0.1, pooled=False)
    monkeypatch.setattr(migrate, "open_tool_engine", impatient)
    with locked(sqlite_url):
        status, _, complaint = run("downgrade", "base", "--no-backup")
    assert status == 2
    assert "the database is locked by another process. Try again in a moment" in complaint


def test_a_full_disk_is_one_line(run, monkeypatch):
    def full(url, target):
        raise StoreFull(str(target), rule="no space is left on its disk", fix="Free some space, then try again")

    monkeypatch.setattr(backup, "back_up", full)
    status, _, complaint = run("backup")
    assert status == 2
    assert "no space is left on its disk. Free some space, then try again." in complaint


def test_the_settings_name_the_database(sqlite_url):
    """In a process of its own: that is how it is called."""
    result = subprocess.run(
        [sys.executable, "-m", "serving.store", "verify"],
        capture_output=True,
        text=True,
        env={**os.environ, "RECSTAGE_SERVING_DATABASE_URL": sqlite_url.render_as_string()},
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["revision"] == newest()


def test_settings_without_a_database_are_one_line(monkeypatch, capsys):
    monkeypatch.setenv("RECSTAGE_SERVING_DATABASE_URL", "")
    assert database.main(["verify"]) == 2
    assert "no database: the settings name none. Set RECSTAGE_SERVING_DATABASE_URL" in capsys.readouterr().err


# -- letting go of what is old ----------------------------------------------------------------------------------------


def test_what_is_old_goes_and_the_rest_stays(url, monkeypatch):
    monkeypatch.setattr(retention, "ROWS_PER_TRANSACTION", 2)  # several rounds
    now = now_ms()
    record(url, *(event("ann", f"i{i}", occurred_at=now - i * DAY) for i in range(8)))
    writer = Writer(url)
    pair, seconds = (1.0, 0.5), now // 1000
    lists = [Impression(f"r{i}", "ann", ("i1", "i2"), pair, pair, "als", "7", seconds - i * 86_400) for i in range(4)]
    writer.submit(WriteImpressions(lists)).result()
    writer.close()
    removed = retention.prune(url, now - 5 * DAY // 2)
    assert removed == {"user_interactions": 5, "recommendation_feedback": 0, "recommendation_impressions": 1}
    assert (count(url, UserInteraction), count(url, RecommendationImpression), count(url, User)) == (3, 3, 1)
    assert exposures(url) == {"i1": 3, "i2": 3}


def test_the_command_prunes_by_days(run, sqlite_url):
    record(sqlite_url, event(occurred_at=now_ms() - 40 * DAY), event())
    assert run("prune", "--days", "30")[1]["removed"]["user_interactions"] == 1
