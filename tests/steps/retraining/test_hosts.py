"""Schedulers and retrainings of several hosts: one at a time, by a lock of the service's PostgreSQL database."""

from __future__ import annotations

import os

import pytest

from recstage.config.steps import ScheduleSettings
from recstage.data.snapshots.connection import URL_VARIABLE
from recstage.errors import StoreError
from recstage.steps.retraining import hosts, schedule

WORK = "retraining of recommender"


@pytest.fixture
def server(monkeypatch):
    named = os.environ.get("RECSTAGE_TEST_POSTGRES_URL")
    if not named:
        pytest.skip("RECSTAGE_TEST_POSTGRES_URL is not set: there is no PostgreSQL to try this on")
    monkeypatch.setenv(URL_VARIABLE, named)


@pytest.fixture
def other(server):
    """The election as another host has it."""
    found = hosts.election()
    yield found
    found.close()


def test_a_retraining_is_refused_while_another_host_is_at_it(other):
    assert other.holds(WORK)
    refused = pytest.raises(StoreError, match=f"{WORK}: another host is at it. Wait for it to end; it holds a lock of")
    with refused, hosts.alone(WORK):
        pytest.fail("two hosts retrain")
    other.close()
    with hosts.alone(WORK):
        assert not hosts.election().holds(WORK)
    assert hosts.election().holds(WORK)


def test_of_two_schedulers_one_looks(other, monkeypatch):
    retrained = []
    monkeypatch.setattr(
        schedule._Looking, "_run", lambda self, work, direction, *words: retrained.append((work, direction))
    )
    settings = ScheduleSettings()
    assert other.holds(f"schedule of {settings.name}")
    looking = schedule._Looking(settings)
    looking.look()
    assert (retrained, looking.result.last) == ([], "the scheduler of another host looks")
    other.close()
    monkeypatch.setattr("recstage.election.elected.CHECK_SECONDS", 0.0)
    looking = schedule._Looking(settings)
    looking.look()
    assert retrained == [("retrain", "forward")]
    looking.end()


@pytest.mark.parametrize("url", ["sqlite:///data/service.db", "postgresql://me@127.0.0.1:1/none"])
def test_a_file_needs_no_lock_between_hosts_and_a_server_that_is_away_locks_nothing(url, monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, url)
    for _ in range(2):
        with hosts.alone(WORK):
            pass
