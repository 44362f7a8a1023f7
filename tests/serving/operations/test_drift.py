"""Drift: groups of equal popularity, and the population stability index by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from serving.operations.drift import drift_of, popularity_groups, stability_index


def test_the_index_of_equal_distributions_is_0_and_of_others_as_by_hand():
    assert stability_index(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0
    by_hand = (0.8 - 0.5) * math.log(0.8 / 0.5) + (0.2 - 0.5) * math.log(0.2 / 0.5)
    assert stability_index(np.array([0.5, 0.5]), np.array([0.8, 0.2])) == pytest.approx(by_hand)


def test_a_group_without_events_gives_a_finite_index():
    assert math.isfinite(stability_index(np.array([0.5, 0.5]), np.array([1.0, 0.0])))


def test_groups_hold_about_equal_shares_most_popular_first():
    counts = np.array([1, 50, 10, 9, 30])
    groups = popularity_groups(counts)
    assert groups.tolist() == [9, 0, 8, 9, 5]
    even = popularity_groups(np.full(100, 7))
    assert np.bincount(even).tolist() == [10] * 10
    assert popularity_groups(np.zeros(3, np.int64)).tolist() == [0, 0, 0]


def test_users_who_choose_as_in_training_have_not_drifted(interactions):
    counts = np.asarray(interactions.item_counts)
    events = dict(zip(interactions.items.ids.tolist(), counts.tolist(), strict=True))
    found = drift_of(interactions, events)
    assert found.events == counts.sum()
    assert (found.psi, found.verdict, found.unknown_share) == (0, "stable", 0)
    assert found.then == pytest.approx(found.now)


def test_users_who_choose_rare_items_have(interactions):
    rare = interactions.items.ids[np.argsort(interactions.item_counts)[:3]].tolist()
    found = drift_of(interactions, dict.fromkeys(rare, 100))
    assert found.verdict == "drifted"
    assert found.now[-1] == 1


def test_too_few_events_and_items_that_the_model_lacks_are_said(interactions):
    few = drift_of(interactions, {interactions.items.ids[0]: 199, "unheard-of": 1})
    assert (few.psi, few.verdict, few.unknown_share) == (None, "unknown", pytest.approx(1 / 200))
    none = drift_of(interactions, {})
    assert (none.events, none.psi, none.unknown_share) == (0, None, None)
