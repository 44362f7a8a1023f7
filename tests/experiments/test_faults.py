"""The short form of the table of faults: `python -m experiments.benchmarks faults --quick`, a test for each row."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3

import pytest

from experiments.benchmarks.environment import BenchmarkEnvironment
from experiments.benchmarks.faults import databases, table
from experiments.benchmarks.faults.fault import Outcome, Trials
from experiments.benchmarks.faults.table import FAULTS, measure
from experiments.benchmarks.faults.traffic import Traffic
from recstage.config import root

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
NEEDS_A_MOUNT = {11, 12}
NEEDS_REDIS = {23}
TESTED_ELSEWHERE = {19: "tests/serving/api/test_openapi.py"}


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        environment = BenchmarkEnvironment(folder, "synthetic")
        versions = environment.register("als", factors=8), environment.register("als", factors=8, iterations=5)
        yield Trials(environment, versions, brief=True, seed=0)


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.number}-{fault.name.replace(' ', '-')}")
def test_every_fault_is_survived(trials, fault):
    if fault.number in TESTED_ELSEWHERE:
        pytest.skip(f"tested in {TESTED_ELSEWHERE[fault.number]}")
    if fault.number in NEEDS_A_MOUNT and os.geteuid() != 0:
        pytest.skip("a small disk can be mounted by root alone")
    if fault.number in NEEDS_A_MOUNT:
        try:
            with databases.small_disk(trials.folder / "mount-probe", 2**20):
                pass
        except PermissionError as error:
            pytest.skip(str(error))
    if fault.number in NEEDS_REDIS and shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server")
    outcome = fault.run(trials)
    assert not outcome.problems
    assert not outcome.lost


def test_the_table_has_a_row_for_each_fault_and_none_is_skipped():
    assert [fault.number for fault in FAULTS] == list(range(1, 29))
    documented = (root() / "docs" / "faults.md").read_text()
    assert all(f"| {fault.number} | {fault.name} | {fault.goal} |" in documented for fault in FAULTS)


def test_a_row_is_missed_by_a_problem_by_a_lost_event_and_by_being_late(monkeypatch, trials):
    def broken(trials):
        raise ZeroDivisionError("a bug")

    outcomes = {
        1: lambda _: Outcome("x"),
        2: lambda _: Outcome("x", ("list failed",)),
        3: lambda _: Outcome("x", lost=2),
        4: lambda _: Outcome("x", late=("9 s",)),
        5: broken,
    }
    for number, run in outcomes.items():
        monkeypatch.setattr("experiments.benchmarks.faults.table.FAULTS", (type(FAULTS[0])(number, "f", "g", run),))
        (row,) = measure(trials, [number])
        assert row.reached == (number == 1)
        assert row.value == (2 if number == 3 else 0)


def test_an_acknowledged_event_that_is_not_in_the_database_is_lost(trials, tmp_path):
    traffic = Traffic(trials, service=None)
    with sqlite3.connect(tmp_path / "service.db") as connection:
        connection.execute("CREATE TABLE user_interactions (idempotency_key TEXT)")
        traffic.acknowledged = [f"{traffic._prefix}/0/{place}" for place in range(3)]
        connection.execute("INSERT INTO user_interactions VALUES (?)", (traffic.acknowledged[1],))
    connection.close()
    assert traffic.lost(tmp_path / "service.db") == 2


@pytest.mark.integration
def test_rows_that_take_minutes_are_tried_by_another_process_and_stand_last(trials, monkeypatch):
    first, second = FAULTS[26], FAULTS[1]
    here = type(second)(second.number, second.name, second.goal, lambda _: Outcome("tried here"))
    monkeypatch.setattr(table, "FAULTS", (first, here))
    monkeypatch.setattr(table, "BESIDE", (first.number,))
    mine, theirs = measure(trials)
    assert (mine.name, theirs.name) == (f" 2 {second.name}", f"27 {first.name}")
    assert mine.note.endswith("tried here")
    assert "packages" in theirs.note
    assert theirs.reached


@pytest.mark.integration
def test_a_row_whose_process_ends_before_it_was_tried_is_missed(trials, monkeypatch):
    monkeypatch.setattr(table, "FAULTS", FAULTS[:1])
    monkeypatch.setattr(table, "BESIDE", (1,))
    monkeypatch.setattr(trials.environment, "data_name", "no-such-data")
    (row,) = measure(trials)
    assert not row.reached
    assert "ended before" in row.note
