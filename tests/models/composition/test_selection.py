"""Choosing among models: the single best one, unless another is clearly better on the users held out."""

from __future__ import annotations

import numpy as np
import pytest

from recstage.evaluation import metrics
from recstage.models.baselines.popularity import Popularity
from recstage.models.composition import selection
from recstage.models.composition.selection import (
    FEWEST_USERS,
    HeldOutUsers,
    best_single,
    paired,
    single_or_ensemble,
)
from tests.models.synthetic_blocks import blocks
from tests.synthetic_data import chains, without_last


def noisy(mean: float, n: int, width: float = 0.4) -> np.ndarray:
    """n values around a mean, with a standard error of about width / sqrt(n)."""
    return mean + np.tile([width, -width], n // 2)


def test_an_ensemble_that_is_clearly_better_is_taken_and_one_that_is_clearly_worse_is_left() -> None:
    single = np.full(400, 0.5)
    assert single_or_ensemble("single", single, {"poor": noisy(0.3, 400), "good": noisy(0.6, 400)}) == "good"
    assert single_or_ensemble("single", single, {"poor": noisy(0.3, 400)}) == "single"
    assert single_or_ensemble("single", single, {}) == "single"


def test_an_equal_ensemble_is_left_where_that_is_known_and_taken_where_too_few_users_say_so() -> None:
    for n, width, expected in ((400, 0.01, "single"), (400, 0.4, "ensemble"), (100_000, 0.4, "single")):
        found = single_or_ensemble("single", np.full(n, 0.5), {"ensemble": noisy(0.5, n, width)})
        assert found == expected, (n, width)


def test_fewer_than_twenty_users_show_no_difference() -> None:
    assert paired(np.ones(FEWEST_USERS - 1), np.zeros(FEWEST_USERS - 1)) == (0.0, np.inf)
    assert paired(np.ones(FEWEST_USERS), np.zeros(FEWEST_USERS)) == (1.0, 0.0)


def test_a_segment_has_a_model_of_its_own_where_that_is_clearly_better_for_it() -> None:
    gains = {"als": np.repeat([0.1, 0.5], 100), "popularity": np.repeat([0.2, 0.1], 100)}
    assert best_single(gains, np.arange(200)) == "als"
    assert best_single(gains, np.arange(100)) == "popularity"
    assert best_single(gains, np.arange(FEWEST_USERS - 1)) == "als"
    gains["popularity"] = np.concatenate([noisy(0.12, 100), np.full(100, 0.1)])
    assert best_single(gains, np.arange(100)) == "als"


def test_gains_are_those_of_the_evaluation() -> None:
    train, later = without_last(blocks())
    held = HeldOutUsers.of(train, later, cold_below=5, hot_from=20, seed=0)
    model = Popularity().fit(train)
    lists = model.rank(held.users, 10).items
    row, item = held.relevant.nonzero()
    hits = metrics.hits_of(lists, row, item, train.n_items)
    expected = metrics.ndcg(hits, np.bincount(row, minlength=len(held)), 10)
    assert expected.max() > 0
    assert held.of_model(model) == pytest.approx(expected)
    hidden = np.zeros(train.n_items, bool)
    by_scores = held.of_scores(lambda _, users: {"p": model.score(users)}, ["p"], np.arange(len(held)), hidden)
    assert by_scores["p"] == pytest.approx(expected)


def test_of_many_users_some_are_drawn_and_dismissed_rows_are_not_relevant(monkeypatch) -> None:
    train, later = without_last(chains())
    monkeypatch.setattr(selection, "MOST_USERS", 30)
    one, same, other = (HeldOutUsers.of(train, later, cold_below=5, hot_from=20, seed=seed) for seed in (0, 0, 1))
    assert len(one) == 30
    assert np.array_equal(one.users.index, same.users.index)
    assert not np.array_equal(one.users.index, other.users.index)
    dismissed = later.select(np.zeros(len(later), bool))
    assert len(HeldOutUsers.of(train, dismissed, cold_below=5, hot_from=20, seed=0)) == 0
