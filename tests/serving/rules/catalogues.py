"""A catalogue of twelve items with attributes of every kind, for the tests of filters and rules."""

from __future__ import annotations

import pandas as pd

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions

N_ITEMS = 12
NOW = 1_800_000_000.0
DAY = 86_400


def interactions() -> Interactions:
    """Item i of twelve was first chosen i days before `NOW`."""
    rows = [("ann", f"i{item}", int(NOW) - item * DAY) for item in range(N_ITEMS)]
    rows += [("bob", f"i{item}", int(NOW)) for item in range(N_ITEMS)]
    return Interactions.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]))


def catalogue(train: Interactions) -> Catalogue:
    """Attributes: price (number), new (boolean), author (text), released (text: dates), regions (list)."""
    numbers = [int(item[1:]) for item in train.items.ids]
    frame = pd.DataFrame(
        {
            "item_id": train.items.ids,
            "title": [f"Title {number}" for number in numbers],
            "categories": [[f"c{number % 3}", "all"] for number in numbers],
            "price": [None if number == 5 else number * 1.5 for number in numbers],
            "new": pd.array([None if number == 5 else number < 3 for number in numbers], "boolean"),
            "author": [None if number == 5 else f"a{number % 4}" for number in numbers],
            "released": [f"2026-{number + 1:02d}-15" for number in numbers],
            "regions": [None if number == 5 else ["DE", "AT"] if number % 2 else ["US"] for number in numbers],
        }
    )
    return Catalogue.from_frame(frame, train.items)
