"""`python -m experiments.benchmarks`: which benchmarks it runs, by which names, and what it reports."""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pytest

from experiments.benchmarks import __main__ as command
from experiments.benchmarks.report import Measurement, at_most
from recstage import renamed
from recstage.errors import ConfigError


class FakeEnvironment:
    """Registers and promotes versions by number."""

    def __init__(self, folder, data):
        self.versions = 0
        self.production = []

    def register(self, algorithm, **overrides):
        self.versions += 1
        return self.versions

    def promote(self, version):
        self.production.append(version)


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "BenchmarkEnvironment", FakeEnvironment)
    return command.Run(tmp_path, "any", 0.1)


def test_each_benchmark_begins_with_its_own_version_in_production(monkeypatch, run):
    def slow_models(environment, algorithms, seconds):
        environment.promote(environment.register("hybrid"))
        return iter(())

    def start(environment, version):
        assert environment.production[-1] == version
        return iter([Measurement("start", 1.0)])

    monkeypatch.setattr(command.performance, "slow_models", slow_models)
    monkeypatch.setattr(command.performance, "start", start)
    assert [row.name for row in command.run_benchmarks(run, ["slow-models", "start"])] == ["start"]


def test_a_benchmark_without_models_fits_none(monkeypatch, run):
    monkeypatch.setattr(
        command.durability, "durability", lambda folder, kills, seed: iter([Measurement("kills", kills)])
    )
    assert [row.value for row in command.run_benchmarks(run, ["durability"])] == [5]
    assert "environment" not in vars(run)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["writes"], ["durability", "ingest"]),
        (["away", "start"], ["outages", "start"]),
        (["ingest", "writes"], ["ingest", "durability"]),
    ],
)
def test_old_names_of_benchmarks_are_taken_with_a_warning(caplog, given, names):
    renamed.warn.cache_clear()  # it warns once in each program
    assert command.checked(given) == names
    assert "only this version still takes the old name" in caplog.text


def test_new_names_bring_no_warning(caplog):
    assert command.checked(list(command.BENCHMARKS)) == list(command.BENCHMARKS)
    assert caplog.text == ""


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(
        ConfigError, match=r"benchmark 'trhoughput': there is no such benchmark. Did you mean 'throughput'"
    ):
        command.checked(["start", "trhoughput"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--only", "nonsense"],
            "benchmark 'nonsense': there is no such benchmark. Valid names: durability, endpoints, faults, ingest,",
        ),
        (["--fast"], "unrecognized arguments: --fast"),
        (["--kills", "0", "--only", "durability"], "--kills 0: it must be above 0"),
        (["--seconds", "-1", "--only", "ingest"], "--seconds -1: it must be above 0"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(capsys, arguments, sentence):
    assert command.main(arguments) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("recstage: ")
    assert sentence in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(("value", "status"), [(1.0, 0), (3.0, 1)])
def test_the_exit_status_says_whether_every_goal_was_reached(monkeypatch, capsys, value, status):
    def durability(folder, kills, seed):
        yield Measurement("  lost", value, at_most(2.0), "events")
        yield Measurement("kills", kills)

    monkeypatch.setattr(command.durability, "durability", durability)
    assert command.main(["--only", "durability", "--kills", "7"]) == status
    assert json.loads(capsys.readouterr().out) == [
        {"name": "  lost", "value": value, "unit": "events", "goal": "<= 2", "reached": status == 0, "note": ""},
        {"name": "kills", "value": 7, "unit": "", "goal": None, "reached": True, "note": ""},
    ]


def test_the_help_lists_every_benchmark_with_its_goals(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name, benchmark in command.BENCHMARKS.items():
        assert f"{name} " in text
        assert benchmark.summary in text


def test_stdout_has_the_figures_alone_whatever_a_benchmark_writes(monkeypatch, capfd):
    def noisy(run, names):
        os.write(1, b"a line of a library\n")
        subprocess.run(["echo", "a line of a program"], check=True)
        return iter([Measurement("kills", np.float64(5), at_most(9))])

    monkeypatch.setattr(command, "run_benchmarks", noisy)
    assert command.main(["durability"]) == 0
    out, err = capfd.readouterr()
    assert [(row["value"], row["reached"]) for row in json.loads(out)] == [(5, True)]
    assert {"a line of a library", "a line of a program"} <= set(err.splitlines())
