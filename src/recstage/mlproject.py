"""Writes `MLproject`: one entry point a step and one a model of `conf/model`, so that a new YAML is an entry point.

python -m recstage.mlproject        rewrites the file; a test fails where it is out of date
"""

from __future__ import annotations

from typing import Any

import yaml

from recstage.config import names_in, root

HEADER = """\
# Written by `make mlproject` from conf/model and src/recstage/mlproject.py.
# Run with the environment that is active:  mlflow run . --env-manager local -e als -P data=ml-100k
# Any other setting is an override:         ... -P model.params.factors=64
"""

TRAINING = {
    "data": {"type": "string", "default": "synthetic"},
    "trials": {"type": "float", "default": 0},
    "seed": {"type": "float", "default": 42},
    "register": {"type": "string", "default": "false"},
}
STEPS: dict[str, dict[str, Any]] = {
    "main": {key: TRAINING[key] for key in ("data", "trials", "seed")},
    "prepare": {"data": TRAINING["data"]},
    "evaluate": {"version": {"type": "string", "default": "Production"}, "data": {"type": "string", "default": "same"}},
    "compare": {},
    "promote": {
        "version": {"type": "string", "default": "best"},
        "reason": {"type": "string", "default": ""},
        "force": {"type": "string", "default": "false"},
        "require": {"type": "string", "default": ""},
    },
    "rollback": {"to": {"type": "string", "default": "previous"}, "reason": {"type": "string", "default": ""}},
    "history": {"at": {"type": "string", "default": "now"}},
    "register": {"run": {"type": "string"}},
    "prune": {},
    "cross-validate": {
        "model": {"type": "string", "default": "als"},
        "data": TRAINING["data"],
        "folds": {"type": "float", "default": 5},
        "scheme": {"type": "string", "default": "k-fold"},
    },
    "benchmark": {"data": {"type": "string", "default": "ml-1m-ncf"}},
    "ablate": {"data": {"type": "string", "default": "ml-1m-ncf"}},
    "production-at": {"time": {"type": "string", "default": "now"}},
    "lineage": {"version": {"type": "string", "default": "Production"}},
    "trained-on": {"user": {"type": "string"}},
    "diff": {"first": {"type": "string"}, "second": {"type": "string"}},
    "export": {"version": {"type": "string", "default": "Production"}},
    "import": {"file": {"type": "string"}},
    "doctor": {"fix": {"type": "string", "default": "false"}},
    "retrain": {"now": {"type": "string", "default": "false"}, "dry_run": {"type": "string", "default": "false"}},
    "schedule": {},
    "update": {"version": {"type": "string", "default": "Production"}, "data": {"type": "string", "default": "same"}},
    "experiment": {
        "share": {"type": "float", "default": 0.5},
        "mode": {"type": "string", "default": "split"},
    },
    "ab-report": {"experiment": {"type": "string", "default": ""}},
    "off-policy": {"version": {"type": "string", "default": "Staging"}},
    "drift": {"version": {"type": "string", "default": "Production"}},
    "watch": {"once": {"type": "string", "default": "false"}},
    "classifier": {
        "data": {"type": "string", "default": "service"},
        "trials": {"type": "float", "default": 0},
        "seed": {"type": "float", "default": 0},
        "register": {"type": "string", "default": "false"},
    },
    "classify": {"name": {"type": "string", "default": "item-classifier"}},
    "precompute": {"name": {"type": "string", "default": "recommender"}},
}
MODULES = {
    "main": "pipeline",
    "prepare": "prepare",
    "evaluate": "evaluate",
    "compare": "registry.compare",
    "promote": "registry.promote",
    "rollback": "registry.rollback",
    "history": "registry.promotion_history",
    "register": "registry.register",
    "prune": "registry.prune",
    "cross-validate": "benchmarks.cross_validate",
    "benchmark": "benchmarks.benchmark",
    "ablate": "benchmarks.ablate",
    "production-at": "record.production_at",
    "lineage": "record.lineage",
    "trained-on": "record.trained_on",
    "diff": "record.diff",
    "export": "record.export_version",
    "import": "record.import_version",
    "doctor": "doctor",
    "retrain": "retraining.retrain",
    "schedule": "retraining.schedule",
    "update": "retraining.update",
    "experiment": "experiments.experiment",
    "ab-report": "experiments.ab_report",
    "drift": "experiments.drift",
    "off-policy": "experiments.off_policy",
    "watch": "experiments.watch",
    "classifier": "classification.train",
}
"""The module of `recstage.steps` behind an entry point, whose `settings_from` reads its parameters."""


def render() -> str:
    """The text of `MLproject`."""
    entries = {name: _entry(f"experiments/{name}.py", parameters) for name, parameters in STEPS.items()}
    for model in names_in("model"):
        entries[model] = _entry(f"experiments/train.py --model {model}", TRAINING)
    content = {"name": "recstage", "conda_env": "conda.yaml", "entry_points": entries}
    return HEADER + yaml.safe_dump(content, sort_keys=False, width=200)


def _entry(command: str, parameters: dict[str, Any]) -> dict[str, Any]:
    options = " ".join(f"--{name} {{{name}}}" for name in parameters)
    entry: dict[str, Any] = (
        {"parameters": {name: dict(values) for name, values in parameters.items()}} if parameters else {}
    )
    return {**entry, "command": f"python {command} {options}".strip()}


if __name__ == "__main__":
    (root() / "MLproject").write_text(render())
