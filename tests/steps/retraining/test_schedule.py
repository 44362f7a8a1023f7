"""The scheduler looks again and again, whatever becomes of a look."""

from __future__ import annotations

import json
import threading

import pytest

from recstage.config.steps import ScheduleSettings
from recstage.steps.retraining import schedule

OUTCOMES = """
import json, pathlib, sys, time
count = pathlib.Path({count!r})
n = int(count.read_text()) if count.exists() else 0
count.write_text(str(n + 1))
if {sleep}:
    time.sleep(60)
if n == 1:
    print("recstage: the database is away", file=sys.stderr)
    sys.exit(2)
print(json.dumps({{"due": n == 0, "outcome": "look " + str(n)}}))
"""


@pytest.fixture
def program(workspace, monkeypatch):
    """Stands for `python -m recstage retrain`: the first look retrains, the second fails."""

    def put(*, sleep: bool = False):
        (workspace / "recstage").mkdir(exist_ok=True)
        (workspace / "recstage" / "__main__.py").write_text(
            OUTCOMES.format(count=str(workspace / "count"), sleep=sleep)
        )
        monkeypatch.setenv("PYTHONPATH", str(workspace))
        return workspace / "count"

    return put


@pytest.mark.slow
def test_a_look_that_fails_does_not_end_the_scheduler(program):
    program()
    found = schedule.run(ScheduleSettings(check_minutes=0.001, looks=3))
    assert (found.looks, found.retrained, found.failed, found.last) == (3, 1, 1, "look 2")


@pytest.mark.slow
def test_a_retraining_that_runs_is_ended_with_the_scheduler(program):
    count = program(sleep=True)
    looking = schedule._Looking(ScheduleSettings())
    thread = threading.Thread(target=looking.look)
    thread.start()
    while not count.exists():
        assert thread.is_alive()
    looking.end()
    thread.join(20)
    assert not thread.is_alive()
    assert looking.result.failed == 1
    looking.look()  # it looks no more
    assert looking.result.looks == 1


def test_the_interval_is_that_of_the_configuration(workspace):
    assert schedule.settings_from([]).check_minutes == 60
    assert schedule.settings_from(["--check_minutes", "5"]).check_minutes == 5


@pytest.mark.slow
def test_both_directions_are_looked_at_and_a_killed_one_is_told(program, workspace, monkeypatch):
    (workspace / "recstage").mkdir(exist_ok=True)
    (workspace / "recstage" / "__main__.py").write_text(
        "import json, os, sys\n"
        "if 'reverse' in sys.argv:\n    os.kill(os.getpid(), 9)\n"
        "print(json.dumps({'due': True, 'outcome': 'done'}))"
    )
    monkeypatch.setenv("PYTHONPATH", str(workspace))
    told = workspace / "told.json"
    words = ["--looks", "1", "--notify.command", f"tee {told}"]
    settings = schedule.settings_from(words)
    assert settings.directions == ("forward", "reverse")
    found = schedule.run(settings)
    assert (found.looks, found.retrained, found.failed) == (1, 1, 1)
    assert "the reverse retraining was killed by signal 9" in json.loads(told.read_text())["error"]


@pytest.mark.slow
def test_an_update_is_made_where_no_retraining_was_due_and_not_more_often_than_asked_for(workspace, monkeypatch):
    (workspace / "recstage").mkdir(exist_ok=True)
    (workspace / "recstage" / "__main__.py").write_text(
        "import json, pathlib, sys\n"
        f"with pathlib.Path({str(workspace / 'calls')!r}).open('a') as file:\n    file.write(sys.argv[1] + ' ')\n"
        "print(json.dumps({'due': False, 'outcome': 'done', 'version': 4}))"
    )
    monkeypatch.setenv("PYTHONPATH", str(workspace))
    found = schedule.run(ScheduleSettings(check_minutes=0.001, looks=2, update_hours=1))
    assert (found.retrained, found.updated) == (0, 1)
    assert (workspace / "calls").read_text().split() == ["retrain", "update", "retrain"]
