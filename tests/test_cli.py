import ast
import gc
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from recstage.cli import INTERRUPTED, main, named, plain, step_of
from recstage.errors import ConfigError, DataError, GateRefused, RecstageError, nearest, valid_names

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Result:
    run_id: str
    metrics: dict[str, float]


def raising(error):
    def step(arguments):
        raise error

    return step


def test_the_last_line_of_stdout_is_the_result_as_json(capsys):
    assert main(lambda arguments: Result("a", {"ndcg_at_10": np.float32(0.5)}), []) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"run_id": "a", "metrics": {"ndcg_at_10": 0.5}}


def test_wrong_input_is_one_line_on_stderr_and_exit_2(capsys):
    assert main(raising(DataError("a\nb.csv", rule="no such file", fix="Give another")), []) == 2
    captured = capsys.readouterr()
    assert captured.err.strip() == "recstage: a b.csv: no such file. Give another."
    assert captured.out == ""


def test_a_refusal_of_the_gate_is_exit_3():
    assert main(raising(GateRefused("version 2", rule="no gain", fix="Train on")), []) == 3


def test_an_interrupt_is_exit_130():
    assert main(raising(KeyboardInterrupt()), []) == INTERRUPTED


def test_an_interrupt_says_what_was_kept(capsys):
    stopped = KeyboardInterrupt()
    stopped.add_note("kept 3 finished trials; the same command resumes")
    assert main(raising(stopped), []) == INTERRUPTED
    assert capsys.readouterr().err == "recstage: interrupted; kept 3 finished trials; the same command resumes\n"


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        main(raising(ZeroDivisionError()), [])


def test_options_that_choose_files_are_taken_out_of_the_arguments():
    assert named(["--data", "x", "--model.params.factors", "3"], data=None, model="als") == (
        {"data": "x", "model": "als"},
        ["--model.params.factors", "3"],
    )


def test_a_missing_option_is_named():
    with pytest.raises(ConfigError, match="no --model: it must be named. Give --model NAME"):
        named([], model=None)


def test_an_option_without_its_value_is_refused():
    with pytest.raises(ConfigError, match="--model"):
        named(["--model"], model=None)


def test_results_become_plain_json():
    value = {"a": np.arange(2), "b": (float("nan"), Path("x")), "c": datetime(2026, 1, 2, tzinfo=UTC)}
    assert plain(value) == {"a": [0, 1], "b": [None, "x"], "c": "2026-01-02T00:00:00+00:00"}


def test_an_error_says_given_rule_and_fix_and_survives_pickling():
    import pickle

    error = pickle.loads(pickle.dumps(RecstageError("given", rule="rule", fix="Fix")))
    assert str(error) == "given: rule. Fix."
    assert (error.given, error.rule, error.fix) == ("given", "rule", "Fix")


def test_valid_names_suggest_the_nearest_and_list_all():
    assert valid_names("alz", ["knn", "als"]) == "Did you mean 'als'? Valid names: als, knn"
    assert valid_names("zzz", []) == "Valid names: none"


def test_the_nearest_names_are_those_of_which_a_part_was_given():
    names = ["model.params.factors", "data.split.method", "columns", "trials"]
    assert nearest("factors", names, 3) == ["model.params.factors"]
    assert nearest("split.metod", names) == ["data.split.method"]
    assert nearest("colums.x", names) == ["columns"]
    assert nearest("trails", names) == ["trials"]
    assert nearest("qqqq", names) == []


def test_every_progress_bar_is_silent_where_stderr_is_no_terminal():
    silent = {"None", "None if progress else True"}
    bars = [
        (path.name, node.lineno, [ast.unparse(word.value) for word in node.keywords if word.arg == "disable"])
        for folder in ("src", "serving", "experiments")
        for path in sorted((HERE / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("tqdm", "trange")
    ]
    assert len(bars) > 10
    assert [bar for bar in bars if not set(bar[2]) & silent] == []


IMPORT_ALL_STEPS = """
import gc, importlib, os, pkgutil
import recstage  # tells OpenMP how long to spin before anything loads it
import faiss, implicit, lightgbm, optuna, torch  # these and MLflow set variables of their own
threshold, before = gc.get_threshold(), dict(os.environ)
import recstage.steps
for module in pkgutil.walk_packages(recstage.steps.__path__, "recstage.steps."):
    importlib.import_module(module.name)
changed = {name for name in before | dict(os.environ) if before.get(name) != os.environ.get(name)}
assert changed <= {"_RJEM_MALLOC_CONF"}, changed  # MLflow's
assert gc.get_threshold() == threshold
from mlflow.telemetry import get_telemetry_client
assert get_telemetry_client() is None
"""


@pytest.mark.integration
def test_importing_every_step_changes_nothing_in_the_process():
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "_MLFLOW", "GIT"))
    }
    subprocess.run([sys.executable, "-c", IMPORT_ALL_STEPS], env=environment, check=True)


def test_the_program_collects_garbage_less_often_before_it_imports_the_step(monkeypatch):
    seen: list[object] = []
    monkeypatch.setattr(gc, "set_threshold", lambda *given: seen.append(given))
    assert main(lambda arguments: seen.append("step"), []) == 0
    assert seen == [(50_000, 20, 50), "step"]


def test_a_step_is_imported_when_it_is_called():
    step = step_of("recstage.no_such_step")
    with pytest.raises(ModuleNotFoundError, match="no_such_step"):
        step([])
