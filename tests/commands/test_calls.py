"""The command `recstage`: what it passes on, what it refuses, and the line of MLflow that it prints."""

import json
import shlex
from dataclasses import dataclass

import pytest
import yaml

from recstage.commands import app, calls, programs
from recstage.config import root
from recstage.config.steps import PromoteSettings, TrainSettings
from recstage.errors import ConfigError
from recstage.mlproject import render

STEPS = {
    "prepare": ["prepare", "--data", "ml-100k", "--strict"],
    "train": ["train", "als", "--data", "ml-100k", "--model.params.factors", "8"],
    "tune": ["tune", "knn", "--data", "ml-100k"],
    "main": ["main", "--data", "ml-100k", "--name", "films"],
    "evaluate": ["evaluate", "3", "--data", "same"],
    "classifier": ["classifier", "--data", "service", "--classifier.family", "linear"],
    "compare": ["compare"],
    "promote": ["promote", "best", "--force", "--reason", "the autumn data"],
    "promote-version": ["promote", "--version", "3"],
    "rollback": ["rollback", "--to", "2"],
    "history": ["history", "--at", "2026-11-20T18:00"],
    "register": ["register", "abc"],
    "prune": ["prune", "--dry-run"],
    "retrain": ["retrain", "--dry-run", "--name", "shop"],
    "schedule": ["schedule", "--check_minutes", "5"],
    "production-at": ["production-at", "2026-11-20T18:00"],
    "lineage": ["lineage", "3", "--name", "shop"],
    "trained-on": ["trained-on", "ann"],
    "diff": ["diff", "1", "2", "--users", "3"],
    "export": ["export", "Staging", "--file", "v.zip"],
    "import": ["import", "v.zip"],
    "cross-validate": ["cross-validate", "als", "--data", "ml-100k", "--scheme", "rolling", "--seed", "3"],
    "benchmark": ["benchmark", "--data", "ml-100k"],
    "ablate": ["ablate", "--data", "ml-100k"],
}
PROGRAMS = {"serve", "precompute", "classify", "ui", "lab"}
"""Subcommands that become another program, which knows its own options."""


@pytest.fixture
def stopped(monkeypatch):
    """The steps do not run: (module, words) of what would have."""
    seen = []
    monkeypatch.setattr(calls.cli, "main", lambda step, words, **how: seen.append(words) or 0)
    return seen


@pytest.mark.parametrize("name", STEPS)
def test_the_line_of_mlflow_that_is_printed_is_one_that_mlflow_understands(name, stopped, capsys):
    assert app.main(STEPS[name]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("same as: ")]
    words = shlex.split(line.removeprefix("same as: "))
    assert words[:5] == ["mlflow", "run", ".", "--env-manager", "local"]
    entry, given = words[words.index("-e") + 1], words[words.index("-e") + 2 :]
    entries = yaml.safe_load(render())["entry_points"]
    assert entry in entries
    assert all(flag == "-P" and "=" in value for flag, value in zip(given[::2], given[1::2], strict=True))
    required = {key for key, value in entries[entry].get("parameters", {}).items() if "default" not in value}
    names = [value.split("=")[0] for value in given[1::2]]
    assert required <= set(names)
    assert len(names) == len(set(names)), "mlflow run refuses a parameter that is given twice"


@pytest.mark.parametrize("command", ["precompute", "classify"])
def test_a_batch_job_becomes_the_command_of_the_stores_with_its_words(command, monkeypatch, capsys):
    became = []
    monkeypatch.setattr(programs.os, "execv", lambda program, words: became.append(words[1:]))
    monkeypatch.setattr(programs.os, "chdir", lambda folder: None)
    app.main([command, "--name", "films", "--url", "sqlite:///films.db"])
    assert became == [["-m", "serving.store", command, "--name", "films", "--url", "sqlite:///films.db"]]
    said = capsys.readouterr().err
    assert f"mlflow run . --env-manager local -e {command} -P name=films -P url=sqlite:///films.db" in said


def test_settings_go_on_to_the_step_as_they_are(stopped):
    settings = ["--model.params.factors", "8", "--data.split.method=ratio"]
    assert app.main(["train", "als", "--data", "ml-100k", *settings]) == 0
    (words,) = stopped
    assert words[-3:] == settings


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian", "als"], "recstage trian: no such command. Did you mean 'train'?"),
        (["train", "alz"], "model 'alz': conf/model has no such file. Did you mean 'als'?"),
        (["train", "als", "--data", "ml-100"], "Did you mean 'ml-100k'?"),
        (["train", "als", "--trialz", "3"], "--trialz: no such setting. Did you mean --trials"),
        (["train", "als", "--data.splt.method", "ratio"], "Did you mean --data.split.method"),
        (["classifier", "--classifier.familly", "linear"], "Did you mean --classifier.family"),
        (["classifier", "--data", "texts.jsonl"], "data 'texts.jsonl': is neither a name in conf/data nor an existing"),
        (["promote", "--forse"], "--forse: no such setting. Did you mean --force"),
        (["train", "als", "--factors", "3"], "--factors: no such setting. Did you mean --model.params.factors? --help"),
        (["train", "--factors", "3", "als"], "Did you mean --model.params.factors?"),
        (["train", "als", "--jsn"], "Did you mean --json?"),
        (["diff", "1", "2", "--hlp"], "Did you mean --help?"),
        (["init", "x.csv", "--colums.x", "y"], "--colums.x: no such setting. Did you mean --columns"),
        (["benchmark", "--sede", "3"], "--sede: no such setting. Did you mean --seed or --seeds? --help"),
        (["ablate", "--folds", "3"], "Did you mean --params.folds or"),
        (["status", "--jsn"], "recstage status --jsn: no such option. Did you mean '--json'?"),
        (["doctor", "--fx"], "recstage doctor --fx: no such option. Did you mean '--fix'?"),
        (["--jsn", "status"], "recstage --jsn: no such option. Did you mean '--json'?"),
        (["train", "als", "--qqqq", "3"], "--qqqq: no such setting. --help lists all."),
        (["train"], "recstage train: Missing argument"),
        (["train", "--trials", "3"], "recstage train: Missing argument"),
    ],
)
def test_a_typo_is_one_line_with_the_nearest_names_and_starts_nothing(words, says, stopped, capsys):
    assert app.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("recstage: ")
    assert says in line
    assert not stopped


def test_fields_of_maps_are_settings(stopped):
    calls.check_options(TrainSettings, ["--data.source.columns.user_id=customer", "--data.weights.buy", "1"])
    with pytest.raises(ConfigError, match="no such setting"):
        calls.check_options(PromoteSettings, ["--promotion.marjin", "0.1"])


def test_every_command_that_passes_options_on_to_a_step_knows_its_settings():
    commands = app.typer.main.get_command(app.app).commands
    passing = {name for name, one in commands.items() if one.ignore_unknown_options} - PROGRAMS
    assert [name for name in passing if "format_epilog" not in vars(type(commands[name]))] == []


def test_without_a_word_the_help_is_shown(capsys):
    assert app.main([]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Own data in five commands" in said
    assert "`init` prints the other four for your file, with --name where other data is in Production" in said


def test_the_help_of_train_lists_the_settings_of_the_model_that_is_named(capsys):
    assert app.main(["train", "als", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--model.params.factors" in said
    assert "--data.split.method" in said


def test_json_may_stand_anywhere(monkeypatch):
    seen = []
    monkeypatch.setattr(calls.cli, "main", lambda step, words, show=None, **how: seen.append(show) or 0)
    app.main(["compare", "--json"])
    app.main(["--json", "compare"])
    app.main(["compare"])
    assert [show is None for show in seen] == [True, True, False]


def test_the_commands_are_documented():
    page = (root() / "docs" / "cli.md").read_text()
    import typer

    names = typer.main.get_command(app.app).commands
    assert [name for name in names if f"`recstage {name}" not in page] == []


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["promote", "3", "--force", "true", "--reason", "true"], ["promote", "3", "--force", "--reason", "true"]),
        (["promote", "3", "--force=True"], ["promote", "3", "--force"]),
        (["promote", "--force", "false", "3"], ["promote", "3"]),
        (["promote", "--new_data=true", "--force"], ["promote", "--new-data", "--force"]),
        (["promote", "--force", "3"], ["promote", "--force", "3"]),
        (["promote", "--force=perhaps"], ["promote", "--force=perhaps"]),
    ],
)
def test_a_flag_may_be_written_as_the_steps_write_it(given, taken):
    assert calls.plain_flags(given, {"--force", "--new-data"}) == taken
    command = app.typer.main.get_command(app.app)
    assert {"--force", "--new-data"} <= app._flags(command, given)


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["train", "alss", "--json"], "model 'alss'"),
        (["--json", "trian"], "recstage trian"),
        (["promote", "--json", "--forse"], "--forse"),
        (["status", "--runs", "x", "--json"], "runs = 'x'"),
    ],
)
def test_a_mistake_is_told_as_json_too(words, given, workspace, capsys):
    assert app.main(words) == 2
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert answer["exit"] == 2
    assert answer["error"]["given"] == given
    assert said.err.splitlines()[-1] == f"recstage: {answer['error']['message']}"


@pytest.mark.parametrize(
    ("words", "path"), [(["serve", "--port", "9123"], ":9123"), (["lab"], "/lab"), (["ui"], ":5000")]
)
def test_a_program_says_where_it_will_be_as_json(words, path, workspace, monkeypatch, capsys):
    monkeypatch.setattr(programs, "_become", lambda command: None)
    monkeypatch.setattr(programs, "_program", lambda name: name)
    assert app.main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["url"].endswith(path)
    assert ("models" in answer) == (words == ["ui"])


@pytest.mark.parametrize(
    "words", [["--help"], ["train", "als", "--help"], ["status"], ["trian"], ["promote", "--forse"]]
)
def test_nothing_is_coloured_where_there_is_no_terminal(words, workspace, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "")
    monkeypatch.delenv("FORCE_COLOR")
    app.main(words)
    said = capsys.readouterr()
    assert said.out + said.err
    assert "\x1b" not in said.out + said.err


@dataclass(frozen=True)
class Trained:
    model: str
    metrics: dict[str, float]
    cutoffs: tuple[int, ...] = (5, 10)


@dataclass(frozen=True)
class Done:
    trained: list[Trained]
    limits: dict[str, float]


def test_a_result_for_a_reader_holds_nothing_of_python():
    metrics = {f"metric_{i}": i / 3 for i in range(9)}
    done = Done([Trained("als", metrics), Trained("knn", {"ndcg": 2 / 3})], {"p95": 1 / 3})
    assert list(calls.summary(done)) == [
        "trained:",
        "  model als, cutoffs (5, 10)",
        "  model knn, metrics (ndcg 0.6667), cutoffs (5, 10)",
        "limits:",
        f"  {'p95':<28} 0.3333",
    ]
