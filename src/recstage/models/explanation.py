"""Explanations of a rank: one plain sentence for the user, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions

Kind = Literal["item", "user", "feature", "popularity"]
NAMED = 3
"""Contributions that the sentence names; `contributions` holds them all."""


@dataclass(frozen=True)
class Contribution:
    """One summand of a score: an `item` of the history, a neighbouring `user`, a `feature`, or the `popularity`.

    `name` is an external id or the feature's name. Of `by_nearest`, `value` is the similarity of an `item` of the
    history instead: such a model's score is no sum over the history.
    """

    kind: Kind
    name: str
    value: float


@dataclass(frozen=True)
class Explanation:
    """Why a user is shown an item.

    `text` is for the user and names no other user; `contributions`, largest first, are for operators of the system.
    `method` is the name of the model used, `score` its score of the item.
    """

    method: str
    score: float
    text: str
    contributions: tuple[Contribution, ...]


def by_popularity(train: Interactions, item: int) -> Explanation:
    """The number of users who chose the item, and its rank by that number."""
    count, n_users = int(train.item_counts[item]), train.n_users
    rank = int((train.item_counts > count).sum()) + 1
    text = f"{count} of {n_users} users chose it: number {rank} of {train.n_items} by popularity."
    chosen = (Contribution("popularity", "users", float(count)),)
    return Explanation("popularity", count / max(1, int(train.item_counts.max(initial=0))), text, chosen)


def by_history(
    method: str, train: Interactions, catalogue: Catalogue, item: int, known: NDArray, values: ArrayLike
) -> Explanation:
    """The items of the history (`known`, int32[h]) and the contribution of each (`values`, [h]) to the score of `item`.

    By popularity if no contribution is positive.
    """
    contributions = largest("item", train.items.id_of(known).tolist(), values)
    positive = [one for one in contributions if one.value > 0]
    if not positive:
        return by_popularity(train, item)
    total = sum(one.value for one in positive)
    names = [f"{title_of(catalogue, one.name)} ({one.value / total:.0%})" for one in positive[:NAMED]]
    return Explanation(method, sum(one.value for one in contributions), f"You chose {listed(names)}.", contributions)


def by_nearest(
    method: str, score: float, train: Interactions, catalogue: Catalogue, item: int, known: NDArray, vectors: NDArray
) -> Explanation:
    """The items of the history (`known`, int32[h]) that are nearest to `item` by the model's own `vectors`, float32
    [n_items, d], with the cosine of each. `score` is the model's, which is no sum over the history.

    By popularity if none of them is on the item's side (no cosine is positive).
    """
    own, others = vectors[item].astype(np.float64), vectors[known].astype(np.float64)
    lengths = np.linalg.norm(own) * np.linalg.norm(others, axis=1)
    cosines = np.divide(others @ own, lengths, out=np.zeros(len(known)), where=lengths > 0)
    similar = largest("item", train.items.id_of(known).tolist(), cosines)
    positive = [one for one in similar if one.value > 0]
    if not positive:
        return by_popularity(train, item)
    names = [f"{title_of(catalogue, one.name)} ({one.value:.2f})" for one in positive[:NAMED]]
    return Explanation(method, score, f"Of what you chose, most similar: {listed(names)}.", similar)


def largest(kind: Kind, names: Sequence[str], values: ArrayLike) -> tuple[Contribution, ...]:
    """Contributions other than zero, largest absolute value first."""
    pairs = [(name, float(value)) for name, value in zip(names, values, strict=True) if value]  # type: ignore[arg-type]
    return tuple(Contribution(kind, name, value) for name, value in sorted(pairs, key=lambda pair: -abs(pair[1])))


def title_of(catalogue: Catalogue, item_id: str) -> str:
    """An item as a sentence names it: its title in quotation marks, else its id."""
    title = catalogue.titles[catalogue.items.index_of([item_id])[0]]
    return f"'{title}'" if title else f"item {item_id}"


def listed(names: list[str]) -> str:
    """Names as a sentence lists them: A, B and C; nothing where there are none."""
    if not names:
        return ""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
