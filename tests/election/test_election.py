"""One of all processes holds a lock of the database; when it dies, another does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import make_url, text

from recstage.config import root
from recstage.election import Election

HOLD = """
import sys, time
from sqlalchemy import make_url
from recstage.election import Election
election = Election(make_url(sys.argv[1]))
while True:
    print(election.holds("work"), flush=True)
    time.sleep(0.1)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return make_url(f"sqlite:///{tmp_path / 'service.db'}")
    named = os.environ.get("RECSTAGE_TEST_POSTGRES_URL")
    if not named:
        pytest.skip("RECSTAGE_TEST_POSTGRES_URL is not set: there is no PostgreSQL to try this on")
    return make_url(named).set(drivername="postgresql+psycopg")


@pytest.fixture
def elections(url, monkeypatch):
    monkeypatch.setattr("recstage.election.elected.CHECK_SECONDS", 0.0)
    found = [Election(url) for _ in range(2)]
    yield found
    for one in found:
        one.close()


def test_one_holds_a_lock_and_the_other_takes_it_once_it_is_given_back(elections):
    first, second = elections
    assert first.holds("work")
    assert not second.holds("work")
    assert first.holds("work")
    first.close()
    assert second.holds("work")
    assert not first.holds("work")


def test_each_work_has_a_lock_of_its_own(elections):
    first, second = elections
    assert first.holds("one")
    assert second.holds("another")
    assert not first.holds("another")


def test_a_look_is_not_repeated_within_a_second(url):
    first, second = Election(url), Election(url)
    assert first.holds("work")
    assert not second.holds("work")
    first.close()
    assert not second.holds("work")  # as of a moment ago
    second.close()


@pytest.mark.slow
def test_when_the_holder_is_killed_another_process_takes_over_within_seconds(url):
    words = [sys.executable, "-c", HOLD, url.render_as_string(hide_password=False)]
    environment = {**os.environ, "PYTHONPATH": f"{root() / 'src'}{os.pathsep}{root()}"}
    started = []

    def start() -> subprocess.Popen[str]:
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment))
        return started[-1]

    try:
        holder = start()
        assert holder.stdout.readline() == "True\n"
        other = start()
        assert other.stdout.readline() == "False\n"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        killed = time.monotonic()
        while other.stdout.readline() != "True\n":
            assert time.monotonic() - killed < 10, "no process took over"
    finally:
        for one in started:
            one.kill()
            one.wait()


def test_a_server_that_ends_the_connection_ends_the_hold_and_it_is_taken_again(url, elections):
    if url.get_backend_name() == "sqlite":
        pytest.skip("SQLite has no server")
    from sqlalchemy import create_engine

    first, second = elections
    assert first.holds("work")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'recstage election'"
        connection.execute(text(ended))
    engine.dispose()
    assert not first.holds("work")
    assert first.away
    assert second.holds("work") or second.holds("work")  # its own connection was ended as well
    assert not first.holds("work")
    assert not first.away


def test_without_a_database_no_lock_is_held_and_it_is_said_once(caplog, monkeypatch):
    monkeypatch.setattr("recstage.election.elected.CHECK_SECONDS", 0.0)
    election = Election(make_url("postgresql+psycopg://me@127.0.0.1:1/none"))
    with caplog.at_level("WARNING"):
        assert [election.holds("work") for _ in range(3)] == [False] * 3
    assert election.away
    assert len(caplog.records) == 1
