"""What users do wrong, as they do it: each ends in one clear line, its exit status and, where a run was opened, FAILED;
nothing is left behind that the next run trips over."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from recstage import registry, tracking
from recstage.cli import main
from recstage.steps import evaluate, prepare, train
from recstage.steps.registry import promote, promotion_history, prune, rollback
from recstage.steps.registry import register as registering

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).resolve().parents[1] / "experiments"
STEPS = {
    "evaluate": evaluate,
    "history": promotion_history,
    "prepare": prepare,
    "promote": promote,
    "prune": prune,
    "register": registering,
    "rollback": rollback,
}
ALS = ["--model.params.factors=4", "--model.params.iterations=2", "--evaluation.latency_requests=5"]


def called(capfd, script, *arguments):
    """Exit status, and what stderr and stdout show."""
    capfd.readouterr()
    if script == "train":
        spec = importlib.util.spec_from_file_location("train_script", SCRIPTS / "train.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        step = module.step
    else:
        step = lambda given: STEPS[script].run(STEPS[script].settings_from(given))  # noqa: E731
    status = main(step, list(arguments))
    shown = capfd.readouterr()
    return status, shown.err, shown.out


def the_line(capfd, script, *arguments, status=2):
    """The one line that a refusal consists of."""
    found, err, out = called(capfd, script, *arguments)
    lines = [line for line in err.splitlines() if line.startswith("recstage: ")]
    assert (found, len(lines), out) == (status, 1, ""), err
    assert "Traceback" not in err
    return lines[0]


def statuses(client):
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    return [run.info.status for run in runs]


@pytest.fixture
def client(workspace):
    return tracking.connect()


def rows(*lines):
    return "user_id,item_id,timestamp\n" + "".join(f"{line}\n" for line in lines)


def written(folder, name, content):
    (folder / name).write_text(content)
    return str(folder / name)


def truncated_archive(folder):
    path = folder / "cut.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml-100k/u.data", "".join(f"{i % 30}\t{i % 17}\t3\t{881250949 + i}\n" for i in range(3000)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return str(path)


DATA = {
    "a wrong path": (lambda home: "/no/such/place", "/no/such/place': is neither a name in conf/data nor an existing"),
    "a truncated archive": (truncated_archive, "cut.zip: is truncated or damaged"),
    "wrong columns": (lambda home: written(home, "cols.csv", "a,b\n1,2\n"), "columns a, b: no column for user_id"),
    "an empty file": (lambda home: written(home, "empty.csv", ""), "empty.csv: is empty. Give a file with rows"),
    "no rows": (lambda home: written(home, "header.csv", rows()), "header: no rows"),
    "one user": (
        lambda home: written(home, "one.csv", rows(*(f"u,i{i},{i}" for i in range(30)))),
        "one: 1 user: the data set's minimum.users is 2",
    ),
    "one item": (
        lambda home: written(home, "one.csv", rows(*(f"u{i},i,{i}" for i in range(30)))),
        "one: 1 item: the data set's minimum.items is 2",
    ),
    "too few interactions": (
        lambda home: written(home, "few.csv", rows(*(f"u{i % 2},i{i},{i}" for i in range(6)))),
        "few: 6 interactions: the data set's minimum.interactions is 10",
    ),
}


@pytest.mark.parametrize("case", DATA)
@pytest.mark.parametrize("script", ["prepare", "train"])
def test_data_that_cannot_be_used(workspace, client, capfd, script, case):
    make, words = DATA[case]
    named = ["--model", "als"] if script == "train" else []
    assert words in the_line(capfd, script, *named, "--data", make(workspace))
    assert set(statuses(client)) <= {"FAILED"}
    left = {path.name for path in (workspace / "data").glob("*")}
    assert left <= {".locks"}


def test_data_that_is_mended_is_taken(workspace, client, capfd):
    path = written(workspace, "shop.csv", "a,b\n1,2\n")
    the_line(capfd, "prepare", "--data", path)
    written(workspace, "shop.csv", rows(*(f"u{i % 4},i{(i * 7) % 10},{i}" for i in range(40))))
    status, err, out = called(capfd, "prepare", "--data", path)
    assert status == 0, err
    assert json.loads(out.splitlines()[-1])["users"] == 4
    assert sorted(statuses(client)) == ["FAILED", "FINISHED"]


def test_data_below_the_minimum_of_a_model(workspace, client, capfd):
    path = written(workspace, "some.csv", rows(*(f"u{i % 4},i{(i * 7) % 10},{i}" for i in range(40))))
    line = the_line(capfd, "train", "--model", "lambdarank", "--data", path)
    assert "positive interactions: lambdarank needs at least 100. Give more data or choose another model" in line
    assert statuses(client) == ["FAILED"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--model", "als", "--model.params.factrs", "9"],
            "--model.params.factrs: no such setting. Did you mean 'model.params.factors'",
        ),
        (["--model", "als", "--model.params.factors", "many"], "model.params.factors = 'many'"),
        (["--model", "alss"], "model 'alss': conf/model has no such file. Did you mean 'als'"),
        ([], "no --model: it must be named"),
    ],
)
def test_a_misspelt_override_or_model_ends_before_any_run(tiny, client, capfd, arguments, words):
    assert words in the_line(capfd, "train", "--data", tiny, *arguments)
    assert statuses(client) == []


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("evaluate", ["--version", "1"]),
        ("promote", ["--version", "1"]),
        ("promote", []),
        ("rollback", []),
        ("history", []),
        ("prune", []),
    ],
)
def test_a_registry_in_which_nothing_was_ever_registered(workspace, client, capfd, script, arguments):
    line = the_line(capfd, script, *arguments)
    assert "there is no such registered model. Nothing is registered yet: train a model with register=true" in line


@pytest.fixture
def trained(tiny, client):
    """Version 1, of a run that finished."""
    return train.run(train.settings_from("als", tiny, ALS, {"register": True}))


def test_a_version_that_does_not_exist_and_no_production(trained, client, capfd):
    for script, option in (("evaluate", "--version"), ("promote", "--version"), ("rollback", "--to")):
        assert "version 9 of recommender: there is no such version. There are 1." in the_line(
            capfd, script, option, "9"
        )
    assert "no version is staged Production. Promote one: recstage promote" in the_line(capfd, "evaluate")
    assert "no version that still exists was Production before. Name one: --to 1" in the_line(capfd, "rollback")
    assert "'nothing': there is no such run" in the_line(capfd, "register", "--run", "nothing")
    assert statuses(client) == ["FINISHED"]


def test_a_corrupted_bundle(trained, tiny, client, capfd):
    folder = registry.fetch(registry.version_of("recommender", 1))
    np.savez(folder / "state.npz", nothing=np.zeros(1))
    line = the_line(capfd, "evaluate", "--version", "1", "--data", tiny)
    assert "state.npz does not match its SHA-256. Train it again, or promote another version." in line
    assert sorted(statuses(client)) == ["FAILED", "FINISHED"]
    line = the_line(capfd, "promote", "--version", "1", "--force", "true")
    assert "state.npz does not match its SHA-256" in line
    assert registry.resolve().version is None


@pytest.fixture
def impatient():
    """MLflow waits 20 seconds for a locked database; here a twentieth of one."""

    def hasten(_connection, _cursor, statement, parameters, *_):
        return statement.replace("busy_timeout = 20000", "busy_timeout = 50"), parameters

    event.listen(Engine, "before_cursor_execute", hasten, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", hasten)


def test_a_locked_database(tiny, workspace, client, capfd, impatient):
    holder = sqlite3.connect(workspace / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        line = the_line(capfd, "prepare", "--data", tiny)
    finally:
        holder.execute("ROLLBACK")
    assert "mlflow.db: the database is locked by another process. Wait for it to finish, or end it." in line
    assert statuses(client) == []
    assert called(capfd, "prepare", "--data", tiny)[0] == 0


def test_a_run_shows_no_bars_where_nobody_watches(tiny, capfd):
    status, err, out = called(capfd, "train", "--model", "als", "--data", tiny, "--trials", "2", *ALS)
    assert status == 0
    assert "\r" not in err
    assert "%|" not in err
    assert len(out.splitlines()) == 1
