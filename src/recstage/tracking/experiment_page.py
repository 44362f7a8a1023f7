"""How the experiment opens in the MLflow UI: as one of model training, described, with a saved view of its models.

MLflow 3 asks of a new experiment whether it is about models or about language models, and shows a page without metrics
until it knows: the tag `mlflow.experimentKind` says so. A view that one shares is a tag `mlflow.sharedViewState.KEY`
whose value is the state of the page, opened by `viewStateShareKey=KEY` in the address. Which of its two kinds of pages
the UI shows is a switch at its top left, which the address of an experiment sets by `workflowType`.
"""

from __future__ import annotations

import json
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException

KIND, MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"
NOTE = "mlflow.note.content"
VIEW = "mlflow.sharedViewState."
MODELS_VIEW = "recstage-models"
TRAINING_PAGES = "workflowType=machine_learning"
"""Opens an experiment on its pages of model training; those of language models have other names for all."""
LOCAL_UI = "http://127.0.0.1:5000"
MODELS_AND_TRIALS = "tags.`stage-of-work` LIKE 'tr%'"
"""Runs whose work is `train`, and the `trial`s that stand below them; MLflow's filters know no OR."""
COLUMNS = (
    "attributes.`Created`",
    "tags.`model`",
    "tags.`data`",
    "tags.`split`",
    "metrics.`ndcg_at_10`",
    "metrics.`hit_rate_at_10`",
    "metrics.`recall_at_20`",
    "metrics.`coverage_at_10`",
    "metrics.`novelty_at_10`",
    "metrics.`latency_p95_ms`",
    "metrics.`fit_seconds`",
    "attributes.`Models`",
    "attributes.`Dataset`",
)
BEST_FIRST = "metrics.`ndcg_at_10`"
CHARTS = ("ndcg_at_10", "hit_rate_at_10", "recall_at_20", "coverage_at_10", "novelty_at_10", "latency_p95_ms")
DESCRIPTION = """\
Recommenders, trained and tested by recstage. One row is one model: what it is, which data set it was trained on, and
what it reached on test rows that it never saw. The trials of a search stand below their model.

**Where to look first.** The saved view *models, best first* (`make ui` prints its address): model, data, split, five
metrics, the time of a list and of a fit. Compare only rows of the same **data** and **split**.

| column | what it says | better |
| --- | --- | --- |
| `ndcg_at_10` | hits among a user's ten items, the higher in the list the more | high |
| `hit_rate_at_10` | users with at least one hit among ten | high |
| `recall_at_20` | share of a user's test items among twenty | high |
| `coverage_at_10` | share of the catalogue that is in some list | high |
| `novelty_at_10` | how unexpected an item is, in bits | depends |
| `latency_p95_ms` | time of one list, 19 of 20 are faster | low |

A run's page shows ten figures first. Everything else is in its artifacts: `evaluation/metrics.csv` (each metric at each
cutoff and segment, with intervals), `plots`, `examples`, `model_card.md`. Intervals and paired differences of all
versions on one page: `recstage compare`, then `comparison.html` of that run. Promote with `recstage promote`, or on the
page of the registered model.
"""


def view_state() -> dict[str, Any]:
    """The state of the runs page: models with their trials, the best first."""
    charts = [
        {
            "uuid": f"recstage-{name}",
            "type": "BAR",
            "runsCountToCompare": 10,
            "metricSectionId": "recstage-first",
            "deleted": False,
            "isGenerated": False,
            "metricKey": name,
        }
        for name in CHARTS
    ]
    return {
        "searchFilter": MODELS_AND_TRIALS,
        "orderByKey": BEST_FIRST,
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(COLUMNS),
        "compareRunCharts": charts,
        "compareRunSections": [
            {"uuid": "recstage-first", "name": "Figures", "display": True, "isReordered": False, "deleted": False}
        ],
        "hideEmptyCharts": True,
    }


def prepare(client: MlflowClient, experiment: Experiment) -> None:
    """Give an experiment its kind, its description and its view. A kind or a description that a user set stays; so
    does everything where the store refuses (a deleted experiment, no permission): the page is worth no failure."""
    wanted = {VIEW + MODELS_VIEW: json.dumps(view_state())}
    if KIND not in experiment.tags:
        wanted[KIND] = MODEL_TRAINING
    if NOTE not in experiment.tags:
        wanted[NOTE] = DESCRIPTION
    for key, value in wanted.items():
        if experiment.tags.get(key) == value:
            continue
        try:
            client.set_experiment_tag(experiment.experiment_id, key, value)
        except MlflowException:
            return


def ui_address() -> str:
    """Where the UI of the store is: the server, or what `make ui` starts."""
    uri = mlflow.get_tracking_uri()
    return uri.rstrip("/") if uri.startswith(("http://", "https://")) else LOCAL_UI


def view_address(base: str, experiment_id: str) -> str:
    """The address of the view on a UI that runs at `base`."""
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?{TRAINING_PAGES}&viewStateShareKey={MODELS_VIEW}"


def models_address(base: str) -> str:
    """The address of the registered models on that UI."""
    return f"{base.rstrip('/')}/#/models"
