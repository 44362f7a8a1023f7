"""Explanations in words and numbers, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions
from recstage.errors import DataError
from recstage.models.baselines.popularity import Popularity
from recstage.models.explanation import Contribution, by_history, by_nearest, by_popularity, largest
from tests.models.synthetic_blocks import ids

ROWS = Interactions.from_arrays(ids("u", 3), ids("i", 4), [0, 0, 1, 2], [0, 1, 0, 0])
FILMS = Catalogue.from_frame(pd.DataFrame({"item_id": ["i000", "i001"], "title": ["Alien", "Brazil"]}), ROWS.items)


def test_popularity_is_a_count_and_a_rank() -> None:
    reason = by_popularity(ROWS, 1)
    assert reason.text == "1 of 3 users chose it: number 2 of 4 by popularity."
    assert (reason.method, reason.score) == ("popularity", pytest.approx(1 / 3))


def test_items_with_as_many_users_share_a_rank_and_the_next_rank_follows_all_of_them() -> None:
    rows = Interactions.from_arrays(ids("u", 3), ids("i", 5), [0, 1, 0, 1, 2, 0], [1, 1, 2, 2, 4, 4])
    ranks = [by_popularity(rows, item).text.split("number ")[1].split()[0] for item in range(5)]
    assert ranks == ["4", "1", "1", "4", "1"]


def test_items_of_the_history_are_named_by_title_and_share() -> None:
    reason = by_history("als", ROWS, FILMS, 3, ROWS.items.index_of(["i000", "i001", "i002"]), [0.1, 0.3, -0.1])
    assert reason.text == "You chose 'Brazil' (75%) and 'Alien' (25%)."
    assert reason.score == pytest.approx(0.3)
    assert reason.contributions[0] == Contribution("item", "i001", 0.3)


def test_an_item_without_a_title_is_named_by_its_id() -> None:
    assert by_history("als", ROWS, FILMS, 3, ROWS.items.index_of(["i002"]), [1.0]).text == "You chose item i002 (100%)."


def test_three_reasons_are_named_and_all_are_listed() -> None:
    reason = by_history("als", ROWS, FILMS, 3, ROWS.items.index_of(ROWS.items.ids), [4.0, 3.0, 2.0, 1.0])
    assert reason.text == "You chose 'Alien' (40%), 'Brazil' (30%) and item i002 (20%)."
    assert len(reason.contributions) == 4


def test_without_a_positive_contribution_popularity_explains() -> None:
    assert by_history("als", ROWS, FILMS, 0, ROWS.items.index_of(["i001"]), [-0.5]).method == "popularity"


def test_what_is_nearest_by_the_models_vectors_is_named_with_its_cosine() -> None:
    vectors = np.array([[3.0, 4.0], [0.0, 2.0], [-1.0, 0.0], [5.0, 0.0]], np.float32)
    reason = by_nearest("ncf", 0.9, ROWS, FILMS, 3, ROWS.items.index_of(["i000", "i001", "i002"]), vectors)
    assert reason.text == "Of what you chose, most similar: 'Alien' (0.60)."
    assert (reason.method, reason.score) == ("ncf", 0.9)
    assert [(one.name, one.value) for one in reason.contributions] == [("i002", -1.0), ("i000", pytest.approx(0.6))]


def test_a_history_on_the_other_side_and_vectors_of_zeros_leave_popularity() -> None:
    vectors = np.array([[0.0, 0.0], [0.0, 0.0], [-1.0, 0.0], [5.0, 0.0]], np.float32)
    known = ROWS.items.index_of(["i000", "i002"])
    assert by_nearest("ncf", 0.9, ROWS, FILMS, 3, known, vectors).method == "popularity"


def test_contributions_are_sorted_by_size_whatever_their_sign() -> None:
    assert [one.value for one in largest("feature", ["a", "b", "c", "d"], [1.0, -3.0, 0.0, 2.0])] == [-3.0, 2.0, 1.0]


def test_why_refuses_an_unknown_item() -> None:
    with pytest.raises(DataError, match="item i999: every item must be in the trained catalogue"):
        Popularity().fit(ROWS).why("u000", "i999")
