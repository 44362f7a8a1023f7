"""A read replica: what it answers, how far it is behind, and who answers in its place."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from recstage.errors import ConfigError
from serving.monitoring.metrics import Metrics
from serving.store.db.connection import parse_url
from serving.store.db.errors import StoreBusy, StoreUnavailable
from serving.store.db.reader import Query, Reader
from serving.store.db.replica import ReplicaReader
from serving.store.store import Store
from tests.serving.store.factories import settings_for

URL = parse_url("postgresql://me@127.0.0.1:1/none")
ANY = Query("any", text("SELECT 1"))


class Server:
    """What a server answers: its position in the log, or an error."""

    def __init__(self, position: int = 0) -> None:
        self.position, self.key, self.in_recovery, self.error = position, b"key", True, None

    def rows(self, query, parameters=None):
        if self.error is not None:
            raise self.error
        if query.name == "primary_position":
            return [(self.position, self.key)]
        if query.name == "replica_position":
            return [(self.in_recovery, self.position, self.key)]
        return [(self.answer,)]


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def servers(monkeypatch):
    primary, behind = Server(100), Server(100)
    primary.answer, behind.answer = "primary", "replica"
    monkeypatch.setattr(Reader, "rows", lambda self, query, parameters=None: behind.rows(query))
    return primary, behind


@pytest.fixture
def reader(servers, clock):
    return ReplicaReader(URL, servers[0], max_lag=10.0, clock=lambda: clock[0])


def look(reader, clock, seconds=1.0):
    clock[0] += seconds
    reader.look()


def answer(reader):
    return reader.row(ANY)[0]


def test_a_replica_that_has_caught_up_answers(reader, servers, clock):
    assert answer(reader) == "primary"  # it was not looked at yet
    look(reader, clock)
    assert (answer(reader), reader.lag, reader.trouble) == ("replica", 0.0, None)
    assert reader.current() is reader


def test_the_lag_is_the_time_since_the_primary_had_written_no_more(reader, servers, clock):
    primary, _ = servers
    look(reader, clock)
    for _ in range(4):
        primary.position += 10
        look(reader, clock)
    assert (reader.lag, answer(reader)) == (4.0, "replica")
    look(reader, clock, 7.0)
    assert (reader.lag, answer(reader)) == (11.0, "primary")
    assert reader.trouble == "it is 11 seconds behind"
    assert reader.current() is primary


def test_a_replica_is_read_again_once_it_has_caught_up(reader, servers, clock):
    primary, behind = servers
    look(reader, clock)
    primary.position = 500
    look(reader, clock, 60.0)
    assert answer(reader) == "primary"
    behind.position = 500
    look(reader, clock)
    assert (reader.lag, answer(reader)) == (0.0, "replica")


def test_while_the_primary_is_away_the_lag_grows_with_the_time(reader, servers, clock):
    look(reader, clock)
    servers[0].error = StoreUnavailable("the database", rule="it does not answer", fix="Start it")
    look(reader, clock, 5.0)
    assert (reader.lag, answer(reader)) == (5.0, "replica")
    look(reader, clock, 6.0)
    assert reader.trouble == "it is 11 seconds behind"


def test_a_replica_that_has_not_caught_up_since_the_start_is_not_read(reader, servers, clock):
    servers[1].position = 50
    look(reader, clock)
    assert (reader.lag, reader.trouble) == (None, "it has not caught up since this process started")


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"in_recovery": False}, "it follows no primary"),
        ({"key": b"of another database"}, "it holds another database, or nothing yet"),
        ({"key": None}, "it holds another database, or nothing yet"),
        ({"error": StoreUnavailable("x", rule="refused", fix="y")}, "it does not answer (refused)"),
    ],
)
def test_what_is_no_replica_of_this_database_is_not_read_and_says_why(reader, servers, clock, change, trouble):
    for name, value in change.items():
        setattr(servers[1], name, value)
    look(reader, clock)
    assert (reader.trouble, answer(reader)) == (trouble, "primary")


def test_a_replica_that_fails_is_answered_for_by_the_primary_and_left_alone_until_the_next_look(reader, servers, clock):
    look(reader, clock)
    servers[1].error = StoreUnavailable("x", rule="refused", fix="y")
    assert answer(reader) == "primary"
    assert reader.trouble == "it does not answer"
    servers[1].error = None
    assert answer(reader) == "primary"
    look(reader, clock)
    assert answer(reader) == "replica"


def test_a_read_that_the_replica_ended_is_made_on_the_primary_and_the_next_on_the_replica(reader, servers, clock):
    look(reader, clock)
    servers[1].error = StoreBusy("x", rule="canceled by recovery", fix="y")
    assert answer(reader) == "primary"
    servers[1].error = None
    assert answer(reader) == "replica"


def test_a_primary_that_starts_over_at_an_earlier_position_is_another_server(reader, servers, clock):
    look(reader, clock)
    servers[0].position = servers[1].position = 5
    look(reader, clock)
    assert (reader.lag, reader.trouble) == (0.0, None)


def test_a_look_is_not_repeated_within_a_second(reader, servers, clock):
    look(reader, clock)
    servers[1].in_recovery = False
    look(reader, clock, 0.5)
    assert reader.trouble is None


@pytest.mark.parametrize("replica", ["sqlite:///other.db", "postgresql://me@127.0.0.1:1/none"])
def test_a_replica_of_a_file_is_refused_in_one_line(sqlite_url, data, tmp_path, replica):
    settings = settings_for(sqlite_url, tmp_path, read_database_url=replica)
    with pytest.raises(ConfigError, match="a read replica is a server of PostgreSQL"):
        Store(sqlite_url, data, settings, Metrics())
