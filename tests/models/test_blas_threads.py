"""What is learnt from texts is the same, bit by bit, with any number of BLAS threads.

Trees make another list of a last bit.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions
from recstage.models.content.text_svd import ItemFeatures
from recstage.models.features.content import ContentGroup
from recstage.models.features.group import Past


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """1,500 items, each with thirty words of 3,000."""
    random = np.random.default_rng(4)
    ids = np.array([f"i{at:04d}" for at in range(1500)], dtype=object)
    texts = [" ".join(f"word{at}" for at in random.zipf(1.3, 30) % 3000) for _ in ids]
    return Catalogue.from_frame(pd.DataFrame({"item_id": ids, "text": texts}), IdMap(ids))


def both(learn) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, "blas"):
            found.append(learn())
    return found[0], found[1]


def test_directions_of_texts_do_not_depend_on_the_number_of_threads(catalogue: Catalogue) -> None:
    one, two = both(lambda: ItemFeatures.learn(catalogue, 64, 1).directions)
    assert np.array_equal(one, two)


def test_features_of_content_do_not_depend_on_the_number_of_threads(catalogue: Catalogue) -> None:
    frame = pd.DataFrame({"user_id": "u", "item_id": catalogue.items.ids, "weight": 1.0, "timestamp": np.arange(1500)})
    train = Interactions.from_frame(frame, items=catalogue.items)

    def learn() -> np.ndarray:
        group = ContentGroup()
        group.learn(Past(train, catalogue, 1))
        return group.arrays["vectors"]

    one, two = both(learn)
    assert np.array_equal(one, two)
