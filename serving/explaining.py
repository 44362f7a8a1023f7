"""Why an item is on a list, in plain words and numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recstage.data.interactions import Users
from recstage.models.base import POPULARITY, Recommender
from serving.served import Served


def reasons_for(served: Served, model: Recommender | None, users: Users, items: NDArray[np.int32]) -> Sequence[str]:
    """One sentence an item: what the person liked that is most like it, or how many people liked it."""
    liked = users.items[users.weights > 0]
    if model is None or model.name == POPULARITY or not len(liked):
        return [_popular(served, item) for item in items.tolist()]
    vectors = served.likeness.vectors
    cosines = vectors[items] @ vectors[liked].T
    nearest = cosines.argmax(axis=1)
    return [
        _alike(served, int(liked[near]), float(cosines[row, near]))
        if cosines[row, near] > 0
        else _popular(served, item)
        for row, (item, near) in enumerate(zip(items.tolist(), nearest.tolist(), strict=True))
    ]


def _alike(served: Served, known: int, cosine: float) -> str:
    return f"Like {_called(served, known)}, which you liked (by {served.likeness.source}, {cosine:.2f} of 1)."


def _popular(served: Served, item: int) -> str:
    count = int(served.train.item_counts[item])
    return f"{count} {'person' if count == 1 else 'people'} liked it."


def _called(served: Served, item: int) -> str:
    return f"'{served.titles[item]}'" if served.titles[item] else f"item {served.item_ids[item]}"
