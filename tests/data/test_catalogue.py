"""The catalogue is aligned with its id map, whatever the file knew."""

from __future__ import annotations

import pandas as pd

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap

ITEMS = IdMap(["a", "b", "c"])


def test_rows_are_aligned_and_gaps_stay_empty() -> None:
    frame = pd.DataFrame(
        {
            "item_id": ["c", "z", "a"],
            "title": ["Cheese", "Zest", "Apple"],
            "text": ["old", "", None],
            "categories": [["food", "milk"], [], ["food"]],
            "available": [False, True, None],
        }
    )

    catalogue = Catalogue.from_frame(frame, ITEMS)

    assert catalogue.titles.tolist() == ["Apple", "", "Cheese"]
    assert catalogue.texts.tolist() == ["", "", "old"]
    assert catalogue.categories == [("food",), (), ("food", "milk")]
    assert catalogue.available.tolist() == [True, True, False]
    assert catalogue.documents == ["Apple food", "", "Cheese old food milk"]


def test_categories_as_a_matrix() -> None:
    catalogue = Catalogue.from_frame(
        pd.DataFrame({"item_id": ["a", "b"], "categories": [["x", "y", "x"], ["y"]]}), ITEMS
    )

    assert catalogue.category_names == ["x", "y"]
    assert catalogue.category_matrix.toarray().tolist() == [[1, 1], [0, 1], [0, 0]]


def test_an_empty_catalogue_knows_the_ids_only() -> None:
    catalogue = Catalogue.empty(ITEMS)

    assert catalogue.titles.tolist() == ["", "", ""]
    assert catalogue.available.all()
    assert catalogue.category_matrix.shape == (3, 0)


def test_a_catalogue_survives_a_frame() -> None:
    first = Catalogue.from_frame(pd.DataFrame({"item_id": ["b"], "title": ["B"], "categories": [["x"]]}), ITEMS)

    again = Catalogue.from_frame(first.to_frame(), ITEMS)

    assert again.to_frame().equals(first.to_frame())


def test_the_last_of_two_rows_about_an_item_counts() -> None:
    frame = pd.DataFrame({"item_id": ["a", "a"], "title": ["old", "new"]})

    assert Catalogue.from_frame(frame, ITEMS).titles[0] == "new"
