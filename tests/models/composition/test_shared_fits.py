"""The fits of one search share the components that are the same in them."""

from __future__ import annotations

import numpy as np
import pytest

from recstage.models.composition import SharedFits, shared_fits
from recstage.models.factorization.als import ALS
from recstage.models.hybrid import Hybrid, HybridParams
from recstage.models.lambdarank.model import LambdaRank
from recstage.models.lambdarank.params import LambdaRankParams
from tests.synthetic_data import chains, without_last

SMALL = {"model": "als", "params": {"factors": 4}}


@pytest.fixture
def fitted(monkeypatch) -> list[ALS]:
    """Every ALS that is fitted."""
    found: list[ALS] = []
    fit = ALS._fit

    def counted(self, *given):
        found.append(self)
        fit(self, *given)

    monkeypatch.setattr(ALS, "_fit", counted)
    return found


def hybrid(share: float) -> Hybrid:
    both = ("als", "popularity")
    return Hybrid(HybridParams(components=[SMALL, "popularity"], cold=both, warm=both, hot=both, warm_share=share))


def test_a_component_is_fitted_once_for_all_trials_and_again_to_other_rows(fitted) -> None:
    train, _ = without_last(chains())
    shared = SharedFits()
    one, other = (hybrid(share).fit(train, seed=1, shared=shared) for share in (0.6, 0.9))
    assert len(fitted) == 1
    alone = hybrid(0.9).fit(train, seed=1)
    users = train.of(np.arange(5))
    assert np.array_equal(other.score(users), alone.score(users))
    assert not np.array_equal(one.score(users), other.score(users))
    hybrid(0.9).fit(train.select(train.user_index > 0), seed=1, shared=shared)
    assert len(fitted) == 3


def test_what_is_too_large_to_keep_is_fitted_anew(fitted, monkeypatch) -> None:
    monkeypatch.setattr(shared_fits, "MOST_BYTES", 100)
    train, _ = without_last(chains())
    shared = SharedFits()
    for share in (0.6, 0.9):
        hybrid(share).fit(train, seed=1, shared=shared)
    assert len(fitted) == 2


@pytest.mark.slow
def test_trees_of_other_leaves_learn_from_the_same_retrievers(fitted) -> None:
    train, _ = without_last(chains())
    shared = SharedFits()
    small = {"retrievers": [SMALL], "num_boost_round": 5, "min_data_in_leaf": 5, "folds": 1, "evaluate_only": True}
    for leaves in (4, 7):
        model = LambdaRank(LambdaRankParams(**small, num_leaves=leaves)).fit(train, seed=1, shared=shared)
        assert model.retrievers_["als"].train_ is train
    (kept,) = fitted
    assert len(kept.train_) < len(train)  # evaluate_only lets a copy serve all histories
