"""A fit of ALS that begins where an older model ended."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recstage.data.interactions import Interactions
from recstage.models.baselines.popularity import Popularity
from recstage.models.factorization.als import ALS, ALSParams

LONG, SHORT = ALSParams(factors=8, iterations=30), ALSParams(factors=8, iterations=1)


def rows(seed: int, users: int = 60) -> Interactions:
    random = np.random.default_rng(seed)
    pairs = {(f"u{u}", f"i{(u % 3) * 10 + i}") for u in range(users) for i in random.choice(10, 6, replace=False)}
    frame = pd.DataFrame(sorted(pairs), columns=["user_id", "item_id"])
    return Interactions.from_frame(frame.assign(timestamp=np.arange(len(frame))))


def scores(model: ALS) -> np.ndarray:
    return model.score(model.train_.all_users)


def test_one_iteration_from_an_older_model_is_nearer_to_the_end_than_one_from_nothing():
    train = rows(1)
    end = scores(ALS(LONG).fit(train))
    older = ALS(LONG).fit(rows(1, users=50))
    warm = scores(ALS(SHORT).fit(train, start=older))
    cold = scores(ALS(SHORT).fit(train))
    assert np.abs(warm - end).mean() < 0.5 * np.abs(cold - end).mean()


def test_vectors_go_to_their_ids_whatever_the_groups_of_the_solver_are():
    params = ALSParams(factors=8, iterations=1, frequency_scaling=1.0, alpha=20)
    train = rows(2)
    end = ALS(params.model_copy(update={"iterations": 40})).fit(train)
    again = scores(ALS(params).fit(train, start=end))
    assert np.abs(again - scores(end)).mean() < 0.02


def test_a_model_of_another_class_or_length_is_no_start():
    train = rows(3)
    cold = scores(ALS(SHORT).fit(train, seed=4))
    for other in (Popularity().fit(train), ALS(ALSParams(factors=5, iterations=2)).fit(train)):
        assert np.array_equal(scores(ALS(SHORT).fit(train, seed=4, start=other)), cold)
