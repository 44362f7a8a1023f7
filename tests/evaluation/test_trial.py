"""A trial is computed by workers that need none of what logs it."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

from recstage.evaluation import trial


def test_a_worker_that_computes_trials_imports_neither_mlflow_nor_what_its_model_does_without():
    code = "import sys, recstage.evaluation.trial; print({'mlflow', 'optuna', 'torch', 'lightgbm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_steps_that_the_study_does_not_look_at_stay_with_the_worker(monkeypatch):
    def fitted_and_judged(data, params, report):
        report(1, {"loss": 0.5})
        report(2, {"loss": 0.4, trial.REPORTED_METRIC: 0.1})
        return trial.Tried(0.2, {"fit_seconds": 1.0}, 1.5)

    monkeypatch.setattr(trial, "tried", fitted_and_judged)
    monkeypatch.setattr(trial, "replace", lambda one, **changed: SimpleNamespace(one=one, **changed))
    settings = SimpleNamespace(model_copy=lambda update: update)
    told = []
    found = trial.with_resources(SimpleNamespace(settings=settings), {}, lambda step, metrics: told.append(step))
    assert told == [2]
    assert found.metrics["wall_seconds"] == 1.5
    assert found.metrics["peak_memory_mb"] > 0
