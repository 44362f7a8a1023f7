"""Transitions: counts by hand, order, damping, folding in, explanations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from recstage.data.interactions import Interactions, Users
from recstage.models.neighborhood.transitions import (
    Transitions,
    TransitionsParams,
    latest,
    strongest,
    transition_counts,
)


def histories(*rows: str) -> Interactions:
    """One user a string: each letter an item, in order of time; an item after '!' is dismissed."""
    events = []
    for user, text in enumerate(rows):
        weight, time = 1.0, 0
        for letter in text:
            if letter == "!":
                weight = 0.0
                continue
            events.append({"user_id": f"u{user}", "item_id": letter, "weight": weight, "timestamp": time})
            weight, time = 1.0, time + 1
    return Interactions.from_frame(pd.DataFrame(events))


def test_steps_are_counted_by_hand():
    counts = transition_counts(histories("abc", "ab"), window=2, lag_decay=1.0).toarray()
    assert counts.tolist() == [[0, 2, 0.5], [0, 0, 1], [0, 0, 0]]


def test_windows_add_up():
    rows = histories("abcde", "edcba", "bade")
    whole = transition_counts(rows, 3, 1.0)
    parts = transition_counts(rows, 1, 1.0) + transition_counts(rows, 3, 1.0, nearest=2)
    assert np.allclose(whole.toarray(), parts.toarray())


def test_no_step_leads_from_one_user_to_the_next():
    counts = transition_counts(histories("ab", "cd"), window=3, lag_decay=1.0).toarray()
    assert counts[1, 2] == 0


def test_a_dismissed_item_is_no_step():
    counts = transition_counts(histories("a!bc"), window=1, lag_decay=1.0).toarray()
    assert counts.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_pairs_are_counted_alike_in_small_blocks(monkeypatch):
    rows = histories("abcde", "edcba", "badec")
    whole = transition_counts(rows, 4, 0.5)
    monkeypatch.setattr("recstage.models.neighborhood.transitions.PAIRS_AT_ONCE", 1)
    assert np.allclose(transition_counts(rows, 4, 0.5).toarray(), whole.toarray())


def test_the_latest_items_come_first_and_dismissed_ones_are_left_out():
    rows = histories("ab!cd", "a")
    assert latest(rows.all_users, 3).tolist() == [[3, 1, 0], [0, -1, -1]]


def test_ties_of_the_strongest_go_to_the_lowest_column():
    matrix = sparse.csr_matrix(np.array([[1, 3, 1, 1], [0, 2, 0, 0]], np.float32))
    assert strongest(matrix, 2).toarray().tolist() == [[1, 3, 0, 0], [0, 2, 0, 0]]


def test_order_decides_what_comes_next():
    rows = histories("abc", "abc", "abc", "cab", "xab", "ax")
    model = Transitions(TransitionsParams(shrinkage=0.1, backward=0)).fit(rows)
    after_b = model.score(Users.unknown(rows.n_items, items=rows.items.index_of(["a", "b"])))[0]
    before = model.score(Users.unknown(rows.n_items, items=rows.items.index_of(["c"])))[0]
    assert after_b.argmax() == rows.items.index_of(["c"])[0]
    assert before.argmax() == rows.items.index_of(["a"])[0]


def test_steps_back_have_the_weight_of_the_parameter():
    rows = histories(*["ab"] * 4)
    none, half = (Transitions(TransitionsParams(backward=b, damping=1)).fit(rows).links_ for b in (0, 0.5))
    assert none[1, 0] == 0
    assert half[1, 0] == pytest.approx(0.5 * none[0, 1])


def test_damping_lowers_a_crowd():
    rows = histories(*["ab"] * 16, "ac")
    plain, damped = (
        Transitions(TransitionsParams(backward=0, damping=p, source_discount=0, popularity_discount=0)).fit(rows)
        for p in (1, 0.5)
    )
    ratio = [m.links_[0, 1] / m.links_[0, 2] for m in (plain, damped)]
    assert ratio == pytest.approx([16, 4])


def test_what_the_items_add_is_the_score():
    rows = histories("abcde", "edcba", "badec", "abced")
    model = Transitions().fit(rows)
    users = rows.of([0])
    explanation = model.explain(users, 4)
    assert explanation.score == pytest.approx(model.score(users)[0, 4], rel=1e-5)
    assert "You chose item " in explanation.text
