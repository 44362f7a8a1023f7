"""Random order: fair, seeded, and the same for a pair however it is asked for."""

from __future__ import annotations

import numpy as np

from recstage.models.baselines.random import Random
from tests.models.synthetic_blocks import blocks


def test_a_pair_has_one_score_in_any_company() -> None:
    model = Random().fit(blocks(), seed=3)
    whole = model.score(blocks().all_users)
    assert model.score(blocks().of([7]), np.array([4], np.int32))[0, 0] == whole[7, 4]


def test_seeds_and_users_and_items_draw_independently() -> None:
    one, other = (Random().fit(blocks(), seed=seed).score(blocks().all_users) for seed in (3, 4))
    assert np.unique(one).size > 0.99 * one.size
    for first, second in ((one, other), (one[:-1], one[1:]), (one[:, :-1], one[:, 1:])):
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1


def test_scores_are_uniform() -> None:
    scores = Random().fit(blocks(), seed=3).score(blocks().all_users)
    share, _ = np.histogram(scores, bins=4, range=(0, 1))
    np.testing.assert_allclose(share / scores.size, 0.25, atol=0.03)
