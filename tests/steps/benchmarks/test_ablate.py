"""Ablations: the table names what earns something, and shares work without changing results."""

from __future__ import annotations

import numpy as np
import pytest

from recstage.config import EvaluationConfig
from recstage.errors import ConfigError
from recstage.evaluation.protocol import evaluate
from recstage.models.lambdarank.model import LambdaRank
from recstage.models.lambdarank.params import LambdaRankParams
from recstage.steps.benchmarks.ablate import ablate
from tests.synthetic_data import chains, without_last

pytestmark = pytest.mark.slow

PARAMS = LambdaRankParams(
    retrievers=["popularity", "random"],
    groups=("sequence", "item", "context"),
    candidates=30,
    num_boost_round=20,
    min_data_in_leaf=5,
    negatives=None,
)
EVALUATION = EvaluationConfig(cutoffs=(5,), bootstrap=100)


@pytest.fixture(scope="module")
def table():
    train, test = without_last(chains())
    return ablate(train, test, PARAMS, evaluation=EVALUATION, metric="ndcg_at_5", seed=1)


def test_there_is_a_row_for_everything_and_for_each_thing_left_out(table):
    assert list(zip(table["kind"], table["name"], strict=True)) == [
        ("everything", "everything"),
        ("alone", "popularity"),
        ("alone", "random"),
        ("retriever", "popularity"),
        ("retriever", "random"),
        ("group", "sequence"),
        ("group", "item"),
        ("group", "context"),
    ]


def test_what_matters_is_missed_most(table):
    rows = table.set_index(["kind", "name"])
    assert rows.loc[("group", "sequence"), "difference"] < -0.2
    assert rows.loc[("group", "sequence"), "p_value"] < 0.01
    assert abs(rows.loc[("group", "context"), "difference"]) < 0.05
    assert rows.loc[("alone", "random"), "difference"] < -0.2


@pytest.mark.parametrize(
    ("kind", "name", "changes"),
    [
        ("everything", "everything", {}),
        ("retriever", "random", {"retrievers": ["popularity"]}),
        ("group", "item", {"groups": ["sequence", "context"]}),
    ],
)
def test_a_variant_is_what_a_fit_of_its_own_gives(table, kind, name, changes):
    train, test = without_last(chains())
    model = LambdaRank(LambdaRankParams(**{**PARAMS.model_dump(), **changes})).fit(train, seed=1)
    value = evaluate(model, test, config=EVALUATION, seed=1).metrics["ndcg_at_5"]
    found = table.set_index(["kind", "name"]).loc[(kind, name), "value"]
    assert found == pytest.approx(value)


def test_an_unknown_metric_is_refused():
    train, test = without_last(chains(40, 30, 9))
    with pytest.raises(ConfigError, match="metric 'auc': a metric of one user is compared.*ndcg_at_5"):
        ablate(train, test, PARAMS, evaluation=EVALUATION, metric="auc")


def test_differences_are_to_everything(table):
    whole = table["value"][0]
    assert np.allclose(table["difference"][1:], table["value"][1:] - whole)
    assert np.isnan(table["difference"][0])
