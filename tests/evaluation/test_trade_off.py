import numpy as np
import pandas as pd
import pytest

from recstage.config import EvaluationConfig
from recstage.evaluation.protocol import evaluate
from recstage.evaluation.trade_off import best_lambda, trade_off

CONFIG = EvaluationConfig(cutoffs=(5,), latency_requests=0, bootstrap=200)


@pytest.fixture
def case(interactions, written):
    """Eight kinds of items; a user's relevant ones are of the kind that their scores favour."""
    random = np.random.default_rng(0)
    kinds = np.arange(80) % 8
    taste = random.integers(0, 8, 60)
    scores = (kinds == taste[:, None]) + 0.8 * random.random((60, 80))
    test = interactions(60, 80, [(u, taste[u] + 8 * random.integers(1, 10)) for u in range(60)])
    model = written(scores, interactions(60, 80, [(u, 0) for u in range(60)]), np.eye(8)[kinds])
    return model, test


def test_lambda_one_is_what_the_evaluation_says_of_the_model(case):
    model, test = case
    row = trade_off(model, test, config=CONFIG, lambdas=[1.0], k=5).iloc[0]
    found = evaluate(model, test, config=CONFIG)
    assert row["ndcg_at_5"] == found.metrics["ndcg_at_5"]
    assert row["diversity_at_5"] == pytest.approx(found.metrics["diversity_at_5"])
    assert row["coverage_at_5"] == pytest.approx(found.metrics["coverage_at_5"])
    assert (row["ndcg_low"], row["ndcg_high"]) == pytest.approx(found.intervals["ndcg_at_5"])


def test_variety_grows_as_lambda_falls_and_accuracy_pays(case):
    model, test = case
    curve = trade_off(model, test, config=CONFIG, lambdas=[0.0, 0.5, 1.0], k=5, candidates=40)
    assert curve["diversity_at_5"].is_monotonic_decreasing
    assert curve["diversity_at_5"].iloc[0] == pytest.approx(1)  # five of eight kinds, no two alike
    assert curve["ndcg_at_5"].iloc[0] < curve["ndcg_at_5"].iloc[2]
    assert (curve["diversity_low"] <= curve["diversity_at_5"]).all()


def curve_of(*rows: tuple[float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["lambda", "ndcg_at_10", "diversity_at_10"])


def test_the_best_lambda_is_the_most_varied_that_is_affordable():
    curve = curve_of((0.3, 0.30, 0.9), (0.5, 0.392, 0.8), (0.7, 0.41, 0.6), (1.0, 0.40, 0.5))
    assert best_lambda(curve, 0.02) == 0.5  # it costs exactly 2 %
    assert best_lambda(curve, 0.01) == 0.7
    assert best_lambda(curve, 0.25) == 0.3


def test_where_variety_gains_nothing_the_models_own_lists_stay():
    assert best_lambda(curve_of((0.5, 0.4, 0.5), (1.0, 0.4, 0.5)), 0.02) == 1.0
    assert best_lambda(curve_of((0.5, 0.1, 0.9), (1.0, 0.4, 0.5)), 0.0) == 1.0
