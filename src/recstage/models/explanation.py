"""Why a model ranks an item where it does: one plain sentence, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from numpy.typing import ArrayLike, NDArray

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions

Kind = Literal["item", "user", "feature", "popularity"]
NAMED = 3
"""Reasons that the sentence names; `contributions` holds them all."""


@dataclass(frozen=True)
class Contribution:
    """What one thing adds to a score: an `item` of the user's history, a neighbouring `user`, a named `feature`, or the
    item's `popularity`. `name` is an external id or the feature's name."""

    kind: Kind
    name: str
    value: float


@dataclass(frozen=True)
class Explanation:
    """`text` is for the person himself and names no other person; `contributions`, the greatest first, are for whoever
    runs the system. `method` is the name of what spoke, `score` what it gave the item."""

    method: str
    score: float
    text: str
    contributions: tuple[Contribution, ...]


def by_popularity(train: Interactions, item: int) -> Explanation:
    """Nothing is known but how many people chose the item."""
    count, people = int(train.item_counts[item]), train.n_users
    rank = int((train.item_counts > count).sum()) + 1
    text = f"{count} of {people} people chose it: number {rank} of {train.n_items} by popularity."
    chosen = (Contribution("popularity", "people", float(count)),)
    return Explanation("popularity", count / max(1, int(train.item_counts.max(initial=0))), text, chosen)


def by_history(
    method: str, train: Interactions, catalogue: Catalogue, item: int, known: NDArray, values: ArrayLike
) -> Explanation:
    """The items of the history (`known`, indices) and what each adds to the score of `item`; by popularity where none
    speaks for it."""
    contributions = largest("item", train.items.id_of(known).tolist(), values)
    speak = [one for one in contributions if one.value > 0]
    if not speak:
        return by_popularity(train, item)
    total = sum(one.value for one in speak)
    names = [f"{_called(catalogue, one.name)} ({one.value / total:.0%})" for one in speak[:NAMED]]
    return Explanation(method, sum(one.value for one in contributions), f"You chose {_and(names)}.", contributions)


def largest(kind: Kind, names: Sequence[str], values: ArrayLike) -> tuple[Contribution, ...]:
    """Contributions that are not zero, the greatest first (by size, whatever the sign)."""
    pairs = [(name, float(value)) for name, value in zip(names, values, strict=True) if value]  # type: ignore[arg-type]
    return tuple(Contribution(kind, name, value) for name, value in sorted(pairs, key=lambda pair: -abs(pair[1])))


def _called(catalogue: Catalogue, item_id: str) -> str:
    title = catalogue.titles[catalogue.items.index_of([item_id])[0]]
    return f"'{title}'" if title else f"item {item_id}"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
