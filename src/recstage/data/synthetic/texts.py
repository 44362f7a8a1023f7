"""Titles, texts and categories of the synthetic items: words of their cluster, of their category, and common ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recstage.data.schema import ITEM
from recstage.data.synthetic.generator import World

TOPICS = (
    "Art", "Business", "Cooking", "Fitness", "Gardening", "Health",
    "History", "Music", "Nature", "Science", "Sports", "Travel",
)  # fmt: skip
SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnprstv" for vowel in "aeio")
OF_CLUSTER, OF_CATEGORY, OF_ALL = (8, 10), (6, 25), (6, 80)
"""How many words of a text come from each vocabulary, and how large those are."""
SECOND_CATEGORY = 0.15


def described(world: World, ids: list[str]) -> pd.DataFrame:
    """Columns item_id, title, text, categories of every item of the world."""
    rng = np.random.default_rng([world.config.seed, 2])
    n = len(ids)
    cluster = np.empty(n, np.int64)
    cluster[world.item_at] = world.cluster_at
    category = world.category_of[cluster]
    vocabularies = (
        (world.n_clusters, cluster, OF_CLUSTER),
        (world.n_categories, category, OF_CATEGORY),
        (1, np.zeros(n, np.int64), OF_ALL),
    )
    words = np.concatenate([_drawn(*each, rng) for each in vocabularies], axis=1)
    second = np.where(rng.random(n) < SECOND_CATEGORY, rng.integers(0, world.n_categories, n), category)
    titles = [f"{row[0]} {row[OF_CLUSTER[0]]}".capitalize() for row in words]
    shuffled = rng.permuted(words, axis=1)
    return pd.DataFrame(
        {
            ITEM: ids,
            "title": titles,
            "text": [" ".join(row) for row in shuffled],
            "categories": [
                [TOPICS[c]] if c == other else [TOPICS[c], TOPICS[other]]
                for c, other in zip(category, second, strict=True)
            ],
        }
    )


def _drawn(
    n_groups: int, group: NDArray[np.int64], amount: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.object_]:
    """Words for each item from its group's vocabulary: object[n, count]."""
    count, size = amount
    parts = np.array(SYLLABLES, dtype=object)[rng.integers(0, len(SYLLABLES), (3, n_groups, size))]
    vocabulary = parts[0] + parts[1] + parts[2]
    return vocabulary[group[:, None], rng.integers(0, size, (len(group), count))]
