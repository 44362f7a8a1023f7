"""Item -> people: who should be told of an item, by the reverse model, or by what the item is about."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recstage.config import EvaluationConfig
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap
from recstage.models.base import mask_excluded
from recstage.models.ranking import top_k
from serving.interfaces import NO_HISTORY, Item
from serving.models.loaded_model import LoadedModel
from serving.recommend.ranking import as_row, best, ignore

CONTENT, ACTIVITY = "content", "activity"
FEWEST_PEOPLE = 5
"""An item that fewer people liked says too little for the reverse model."""
MOST_ALIKE = 50
Segment = Literal["cold", "warm", "hot"]


@dataclass(frozen=True)
class Wanted:
    """`among`: only these people (None: all); `never`: people who must not be named."""

    item_id: str
    limit: int
    among: Collection[str] | None = None
    never: Collection[str] = ()
    segment: Segment | None = None
    exclude_known: bool = True


@dataclass(frozen=True)
class Audience:
    """People, best first, their scores, what spoke, and the version it spoke from."""

    user_ids: list[str]
    scores: list[float]
    method: str
    name: str
    version: str | None


def audience(forward: LoadedModel, reverse: LoadedModel | None, wanted: Wanted, item: Item | None) -> Audience | None:
    """Who should be told of the item. None where neither the versions nor the service's catalogue (`item`) know it."""
    if reverse is not None:
        history = reverse.trained(wanted.item_id)
        if int((history.weights > 0).sum()) >= FEWEST_PEOPLE:
            return _by_model(reverse, wanted)
    index = forward.train.items.find(wanted.item_id)
    if index < 0 and item is None:
        return None
    return _by_content(forward, wanted, index, item)


def _by_model(reverse: LoadedModel, wanted: Wanted) -> Audience:
    person = reverse.person(wanted.item_id, NO_HISTORY)  # the item, as the reverse model's user
    train = reverse.train
    excluded = _excluded(train.items, train.item_counts, wanted)
    if wanted.exclude_known:
        excluded[person.users.items] = True
    people, scores, method = best(reverse, "auto", person, wanted.limit, as_row(excluded), ignore)
    ids = [reverse.item_ids[one] for one in people.tolist()]
    return Audience(ids, scores.tolist(), method, "reverse", reverse.version)


def _by_content(forward: LoadedModel, wanted: Wanted, index: int, item: Item | None) -> Audience:
    """People by how much they liked what is like the item, each point of liking shared among all that they did."""
    train = forward.train
    likes = train.matrix
    counts = np.diff(likes.indptr)
    excluded = _excluded(train.users, counts, wanted)
    if wanted.exclude_known and index >= 0:
        excluded[train.user_index[train.item_index == index]] = True
    alike = _alike(forward, index, item)
    if alike.any():
        scores, method = likes @ alike / np.sqrt(counts + 1), CONTENT
    else:
        scores, method = counts / max(1, counts.max(initial=0)), ACTIVITY
    people, values = top_k(mask_excluded(scores.astype(np.float32)[None], as_row(excluded)), wanted.limit)
    kept = people[0] >= 0
    ids = train.users.id_of(people[0][kept]).tolist()
    return Audience(ids, values[0][kept].tolist(), method, "forward", forward.version)


def _alike(forward: LoadedModel, index: int, item: Item | None) -> NDArray[np.float32]:
    """How like the item all others are, the closest only: float32[n_items]; zeros where nothing is known of it."""
    content = forward.content
    if content is not None:
        described = content.vectors_[index] if index >= 0 else content.embed_items(_catalogue_of(item))
        alike = (content.vectors_ @ described.T).toarray().ravel()
    elif index >= 0:
        vectors = forward.item_similarity.vectors
        alike = np.maximum(vectors @ vectors[index], 0)
    else:
        alike = forward.in_categories(item.categories if item is not None else ()).astype(np.float32)
    if np.count_nonzero(alike) > MOST_ALIKE:
        edge = np.partition(alike, -MOST_ALIKE)[-MOST_ALIKE]
        alike = np.where(alike >= edge, alike, 0)
    return alike.astype(np.float32)


def _catalogue_of(item: Item | None) -> Catalogue:
    """An item of the service's own catalogue as a catalogue of its own."""
    known = Item("") if item is None else item
    row = {"item_id": known.item_id, "title": known.title, "text": known.text, "categories": list(known.categories)}
    return Catalogue.from_frame(pd.DataFrame([row]), IdMap([known.item_id]))


def _excluded(people: IdMap, counts: NDArray[np.int64], wanted: Wanted) -> NDArray[np.bool_]:
    """Who must not be named: bool[n_people]."""
    excluded = np.zeros(len(people), bool)
    if wanted.among is not None:
        excluded[:] = True
        chosen = people.index_of(list(wanted.among))
        excluded[chosen[chosen >= 0]] = False
    never = people.index_of(list(wanted.never))
    excluded[never[never >= 0]] = True
    if wanted.segment is not None:
        excluded |= segments_of(counts) != wanted.segment
    return excluded


def segments_of(counts: NDArray[np.int64]) -> NDArray[np.str_]:
    """cold, warm or hot, by the number of liked items, with the thresholds of the evaluation."""
    limits = EvaluationConfig()
    return np.where(counts < limits.cold_below, "cold", np.where(counts < limits.hot_from, "warm", "hot"))
