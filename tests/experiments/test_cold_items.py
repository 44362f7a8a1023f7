"""Recall of cold items by the content model: true categories help where texts say nothing."""

import numpy as np
import pandas as pd
import pytest

from experiments.benchmarks.classification import cold_items
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions

ITEMS = 140
COLD = np.arange(80, ITEMS)


@pytest.fixture(scope="module")
def world():
    """Items of four categories by their number; each user's interactions are with items of one."""
    items = IdMap(np.array([f"{i:03}" for i in range(ITEMS)], object))
    frame = pd.DataFrame(
        {
            "item_id": items.ids,
            "title": [f"item {i}" for i in range(ITEMS)],
            "text": ["some words of no use"] * ITEMS,
            "categories": [[f"c{i % 4}"] for i in range(ITEMS)],
        }
    )
    users = IdMap(np.array([f"u{u}" for u in range(40)], object))
    rows = [(u, i) for u in range(40) for i in range(u % 4, ITEMS, 4)]
    user, item = np.array(rows).T
    return Interactions.from_arrays(users, items, user, item), Catalogue.from_frame(frame, items)


def test_categories_find_the_cold_items_of_a_user_and_wrong_ones_do_not(world):
    events, catalogue = world
    right = [catalogue.categories[i] for i in COLD.tolist()]
    ways = {"true": right, "wrong": right[1:] + right[:1], "none": [()] * len(COLD)}
    found = cold_items.recalls(events, catalogue, COLD, ways, {"category_share": 0.4})
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(ways, (40, 3))
    assert np.all(found["true"] == 1.0)  # fifteen cold items each, before all others
    assert np.all(found["wrong"][:, 0] == 0.0)
    assert 0.0 < found["none"][:, 0].mean() < 0.6


def test_cold_items_are_those_whose_text_begins_with_a_test_text(world):
    _, catalogue = world
    tested = ["item 3. some words of no use", "item 30. some words of", "item 4. other words, that no item has"]
    found = cold_items.cold_texts(catalogue, tested)
    assert found == {3: tested[0], 30: tested[1]}
