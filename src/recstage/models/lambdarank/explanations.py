"""Explanations of the trees' ranks in words: contributions of features, summed by group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recstage.models.base import Explanation
from recstage.models.explanation import NAMED, largest
from recstage.models.features import FeatureTable

PLAIN_WORDS = {
    "stage": "how other models rank it for you",
    "sequence": "what users choose after what you chose last",
    "item": "how many users choose it",
    "user": "how popular your choices are",
    "recency": "when users choose it",
    "affinity": "your choices in its categories",
    "content": "how it is described",
    "context": "your current session",
    "profile": "what users like you choose",
    "request": "what is chosen at such a moment",
}
"""Groups of features in words for users."""


def explanation_of(table: FeatureTable, contributions: NDArray[np.float64], model: str) -> Explanation:
    """The explanation of one pair by its `contributions`, which sum to the score.

    float64[n_features + 1], the last one what all items get.
    """
    names = table.names
    groups = {group.name: 0.0 for group in table.groups}
    for name, value in zip(names, contributions, strict=False):
        groups[table.group_of[name]] += float(value)
    positive = sorted(((value, name) for name, value in groups.items() if value > 0), reverse=True)
    total = sum(value for value, _ in positive)
    words = [f"{PLAIN_WORDS[name]} ({value / total:.0%})" for value, name in positive[:NAMED]]
    text = f"Reasons for it: {', '.join(words)}." if words else "It ranks here because other items score lower."
    score = float(contributions.sum())
    return Explanation(model, score, text, largest("feature", [*names, "all items"], contributions))
