"""Metrics of ranked lists, against trec_eval (by pytrec_eval) and scikit-learn on random lists."""

import numpy as np
import pytest
import pytrec_eval
from sklearn.metrics import ndcg_score

from recstage.evaluation import metrics
from recstage.models.ranking import top_k

N_USERS, N_ITEMS, LONGEST = 40, 60, 20
THEIRS = {"ndcg": "ndcg_cut", "hit_rate": "success", "recall": "recall", "precision": "P", "map": "map_cut"}


@pytest.fixture(params=range(5))
def case(request):
    """Distinct random scores, and one to forty relevant items a user."""
    random = np.random.default_rng(request.param)
    scores = random.random((N_USERS, N_ITEMS), dtype=np.float32)
    relevant = random.random((N_USERS, N_ITEMS)) < random.random((N_USERS, 1)) * 0.6
    relevant[np.arange(N_USERS), random.integers(0, N_ITEMS, N_USERS)] = True
    rows, items = np.nonzero(relevant)
    lists, _ = top_k(scores, LONGEST)
    return scores, relevant, lists, metrics.hits_of(lists, rows, items.astype(np.int32), N_ITEMS)


def of_trec_eval(measures, relevant, lists, scores):
    judged = {str(u): {str(i): 1 for i in np.flatnonzero(row)} for u, row in enumerate(relevant)}
    run = {str(u): {str(i): float(scores[u, i]) for i in row} for u, row in enumerate(lists)}
    results = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(run)
    return {name: [results[str(u)][name] for u in range(N_USERS)] for name in results["0"]}


@pytest.mark.parametrize("k", [1, 5, 10, 20])
def test_accuracy_equals_that_of_trec_eval(case, k):
    scores, relevant, lists, hits = case
    expected = of_trec_eval({f"{theirs}.{k}" for theirs in THEIRS.values()}, relevant, lists, scores)
    for ours, theirs in THEIRS.items():
        assert metrics.ACCURACY[ours](hits, relevant.sum(axis=1), k) == pytest.approx(
            expected[f"{theirs}_{k}"], abs=1e-6
        ), ours


@pytest.mark.parametrize("k", [1, 5, 20])
def test_reciprocal_rank_equals_that_of_trec_eval_over_lists_cut_short(case, k):
    scores, relevant, lists, hits = case
    expected = of_trec_eval({"recip_rank"}, relevant, lists[:, :k], scores)["recip_rank"]
    assert metrics.reciprocal_rank(hits, relevant.sum(axis=1), k) == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_ndcg_equals_that_of_scikit_learn(case, k):
    scores, relevant, _, hits = case
    expected = ndcg_score(relevant, scores, k=k, ignore_ties=True)
    assert metrics.ndcg(hits, relevant.sum(axis=1), k).mean() == pytest.approx(expected)
