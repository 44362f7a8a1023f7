"""What any list must do, whatever the metric says: asked of a model itself, on users that it knows.

The model is asked through `Recommender.rank`, which is what the service calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recstage.config import GuardrailConfig
from recstage.data.interactions import Users
from recstage.models.base import Recommender

K = 10
LEAST_HISTORY = 8
"""Items of a history from which one may be left out without changing much."""

SEEN, HIDDEN, HISTORY, BATCH = "seen items", "hidden items", "small change of history", "order of the batch"


@dataclass(frozen=True)
class Behaviour:
    """One promise: kept, broken, or (None) nothing to try it on; and in words."""

    name: str
    kept: bool | None
    message: str


def behaviours(model: Recommender, user_ids: Sequence[str], limits: GuardrailConfig) -> list[Behaviour]:
    """All promises, tried on these users as far as the model knows them."""
    users = model.known(list(dict.fromkeys(user_ids)))
    users = users.take(np.flatnonzero(users.index >= 0))
    if not len(users):
        return [
            Behaviour(name, None, f"{name}: the model knows none of the users")
            for name in (SEEN, HIDDEN, HISTORY, BATCH)
        ]
    lists = model.rank(users, K).items
    return [
        _seen(lists, users),
        _hidden(model, users, lists),
        _history(model, users, limits.history_overlap),
        _batch(model, users, lists),
    ]


def _seen(lists: NDArray[np.int32], users: Users) -> Behaviour:
    again = 0
    for row, start, end in _with_history(lists, users):
        again += len(np.intersect1d(row[row >= 0], users.items[start:end]))
    words = "none came back" if not again else f"{again} items that users know came back"
    return Behaviour(SEEN, not again, f"{SEEN}: {words} in {len(lists)} lists")


def _with_history(lists: NDArray[np.int32], users: Users) -> Iterator[tuple[NDArray[np.int32], int, int]]:
    return zip(lists, users.indptr[:-1].tolist(), users.indptr[1:].tolist(), strict=True)


def _hidden(model: Recommender, users: Users, lists: NDArray[np.int32]) -> Behaviour:
    """The items ranked first are hidden: none may come again, nor any that the catalogue calls unavailable."""
    first = np.unique(lists[:, :3])
    first = first[first >= 0]
    after = model.rank(users, K, exclude=first).items
    shown = after[after >= 0]
    came = int(np.isin(shown, first).sum() + (~model.catalogue_.available[shown]).sum())
    came += int((~model.catalogue_.available[lists[lists >= 0]]).sum())
    words = "none was shown" if not came else f"{came} were shown"
    return Behaviour(HIDDEN, not came, f"{HIDDEN}: {words} after {len(first)} items were hidden")


def _history(model: Recommender, users: Users, least: float) -> Behaviour:
    """The oldest item of a long history is left out: most of the list must stay. Asked of models that rank by a history
    alone: others know their users by name only."""
    if not model.folds_in:
        return Behaviour(HISTORY, None, f"{HISTORY}: {model.name} ranks by no history")
    long = users.take(np.flatnonzero(users.lengths >= LEAST_HISTORY))
    if not len(long):
        return Behaviour(HISTORY, None, f"{HISTORY}: no user has {LEAST_HISTORY} items")
    whole = _as_unknown(long, drop=False)
    before = model.rank(whole, K, exclude_seen=False).items
    after = model.rank(_as_unknown(long, drop=True), K, exclude_seen=False).items
    shares = [_in_common(one, other) for one, other in zip(before, after, strict=True)]
    overlap = float(np.mean(shares))
    words = f"{overlap:.0%} of the list stays on average where the oldest item is left out"
    return Behaviour(HISTORY, overlap >= least, f"{HISTORY}: {words} ({len(long)} users, {least:.0%} is asked for)")


def _as_unknown(users: Users, *, drop: bool) -> Users:
    """The same histories, without the oldest item with `drop`, of users whom the model does not know by name."""
    keep = np.ones(len(users.items), bool)
    if drop:
        keep[users.indptr[:-1]] = False
    indptr = np.concatenate([[0], np.cumsum(users.lengths - int(drop))])
    return Users(
        np.full(len(users), -1, np.int32),
        indptr,
        users.items[keep],
        users.weights[keep],
        users.timestamps[keep],
        users.n_items,
        users.ordered,
    )


def _in_common(one: NDArray[np.int32], other: NDArray[np.int32]) -> float:
    one, other = one[one >= 0], other[other >= 0]
    return len(np.intersect1d(one, other)) / max(len(one), len(other), 1)


def _batch(model: Recommender, users: Users, lists: NDArray[np.int32]) -> Behaviour:
    """The batch in another order, and each user alone, must give the same lists."""
    order = np.random.default_rng(0).permutation(len(users))
    shuffled = model.rank(users.take(order), K).items
    alone = np.concatenate([model.rank(users.take([row]), K).items for row in range(min(5, len(users)))])
    differ = int((shuffled != lists[order]).any(axis=1).sum() + (alone != lists[: len(alone)]).any(axis=1).sum())
    words = "no list depends on it" if not differ else f"{differ} lists depend on it"
    return Behaviour(BATCH, not differ, f"{BATCH}: {words} ({len(users)} users)")
