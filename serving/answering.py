"""From a request to a list: one version, one person, what he did since, and the wishes of the request."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import Users
from recstage.models.base import POPULARITY, block
from recstage.models.ranking import top_k
from serving.served import Served


@dataclass(frozen=True, slots=True)
class Ask:
    """What is wanted."""

    user_id: str
    limit: int = 10
    exclude_seen: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """Item indices of `served`, best first, their scores, and what spoke."""

    served: Served
    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    method: str


def answer(served: Served, ask: Ask) -> Answer:
    """The list that `served` gives."""
    users = served.user(ask.user_id)
    items, scores, method = best(served, users, ask.limit, _blocked(served, users, ask.exclude_seen))
    return Answer(served, items, scores, method)


def best(
    served: Served, users: Users, k: int, blocked: sparse.csr_matrix | None
) -> tuple[NDArray[np.int32], NDArray[np.float32], str]:
    """The k best items of one user, as the model itself ranks them; popularity where it cannot score him."""
    model = served.model
    if model.can_score(users)[0]:
        items, scores = model.retrieve(users, k, blocked)
        method = model.name
    else:
        items, scores = top_k(block(model.popularity_[None].copy(), blocked), k)
        method = POPULARITY
    kept = items[0] >= 0
    return items[0][kept], scores[0][kept], method


def _blocked(served: Served, users: Users, exclude_seen: bool) -> sparse.csr_matrix | None:
    columns = served.unavailable
    if exclude_seen and len(users.items):
        columns = np.concatenate([columns, users.items]) if len(columns) else users.items
    if not len(columns):
        return None
    columns = np.unique(columns)
    return one_row(columns, users.n_items)


def one_row(columns: NDArray[np.int32], n_items: int) -> sparse.csr_matrix:
    """A mask of one user: bool[1, n_items], true in `columns` (sorted, distinct)."""
    return sparse.csr_matrix(
        (np.ones(len(columns), bool), columns, np.array([0, len(columns)], np.int32)), shape=(1, n_items)
    )
