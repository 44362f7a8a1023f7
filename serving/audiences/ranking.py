"""Users to whom an item should be recommended: by the reverse model, or by what the item is about."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recstage.config import EvaluationConfig
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap
from recstage.data.segments import segments_of
from recstage.models.base import mask_excluded
from recstage.models.ranking import top_k
from serving.interfaces import NO_HISTORY, Item
from serving.models.exclusion import as_row, excluded_mask
from serving.models.loaded_model import LoadedModel
from serving.recommend.ranking import best, ignore

CONTENT, ACTIVITY = "content", "activity"
MAX_SIMILAR_ITEMS = 50
Segment = Literal["cold", "warm", "hot"]


@dataclass(frozen=True)
class UsersRequest:
    """The parameters of a list of users.

    `min_likes`: an item that fewer users liked is ranked by its content, because the reverse model knows too little of
    it. `min_score`: users that score less are left out. `among`: only these users (None: all); `excluded`: users never
    listed.
    """

    item_id: str
    limit: int
    min_likes: int
    min_score: float | None = None
    among: Collection[str] | None = None
    excluded: Collection[str] = ()
    segment: Segment | None = None
    exclude_known: bool = True


@dataclass(frozen=True)
class RankedUsers:
    """Users, best first, with their scores, the method, and the model (`name`: forward or reverse) and version used."""

    user_ids: list[str]
    scores: list[float]
    method: str
    name: str
    version: str | None


def users_for_item(
    forward: LoadedModel,
    reverse: LoadedModel | None,
    request: UsersRequest,
    item: Item | None,
    thresholds: EvaluationConfig,
) -> RankedUsers | None:
    """Users for the item; None where neither the models nor the service's catalogue know it.

    Args:
        forward: the model of items for users.
        reverse: the model of users for items, where one is served.
        request: which item, and which users may be listed.
        item: the item in the service's own catalogue, where it is there.
        thresholds: from how many interactions a user is warm or hot.
    """
    if reverse is not None:
        history = reverse.trained_user(request.item_id)
        if int((history.weights > 0).sum()) >= request.min_likes:
            return _with_scores(_by_reverse_model(reverse, request, thresholds), request.min_score)
    index = forward.train.items.find(request.item_id)
    if index < 0 and item is None:
        return None
    return _with_scores(_by_content(forward, request, index, item, thresholds), request.min_score)


def _with_scores(found: RankedUsers, least: float | None) -> RankedUsers:
    """The users that score at least so much; scores fall, so those are the first."""
    if least is None:
        return found
    kept = sum(score >= least for score in found.scores)
    return replace(found, user_ids=found.user_ids[:kept], scores=found.scores[:kept])


def _by_reverse_model(reverse: LoadedModel, request: UsersRequest, thresholds: EvaluationConfig) -> RankedUsers:
    # the reverse model was trained with the roles exchanged: its "user" is the item, its "items" are the users
    item = reverse.user_context(request.item_id, NO_HISTORY)
    train = reverse.train
    interactions = np.bincount(train.item_index, minlength=len(train.items))
    excluded = _excluded_users(train.items, interactions, request, thresholds)
    if request.exclude_known:
        excluded[item.users.items] = True
    users, scores, method = best(reverse, "auto", item, request.limit, as_row(excluded), ignore)
    user_ids = [reverse.item_ids[user] for user in users.tolist()]
    return RankedUsers(user_ids, scores.tolist(), method, "reverse", reverse.version)


def _by_content(
    forward: LoadedModel, request: UsersRequest, index: int, item: Item | None, thresholds: EvaluationConfig
) -> RankedUsers:
    """Users by how much they liked similar items, divided by the root of how many items they liked."""
    train = forward.train
    likes = train.matrix
    n_liked = np.diff(likes.indptr)
    excluded = _excluded_users(train.users, train.lengths, request, thresholds)
    if request.exclude_known and index >= 0:
        excluded[train.user_index[train.item_index == index]] = True
    similarity = _similar_items(forward, index, item)
    if similarity.any():
        scores, method = likes @ similarity / np.sqrt(n_liked + 1), CONTENT
    else:
        scores, method = n_liked / max(1, n_liked.max(initial=0)), ACTIVITY
    users, values = top_k(mask_excluded(scores.astype(np.float32)[None], as_row(excluded)), request.limit)
    kept = users[0] >= 0
    user_ids = train.users.id_of(users[0][kept]).tolist()
    return RankedUsers(user_ids, values[0][kept].tolist(), method, "forward", forward.version)


def _similar_items(forward: LoadedModel, index: int, item: Item | None) -> NDArray[np.float32]:
    """Similarity of all items to this one, zero for all but the most similar: float32[n_items].

    Zeros throughout where nothing is known of the item.
    """
    content = forward.content
    if content is not None:
        described = content.vectors_[index] if index >= 0 else content.embed_items(_catalogue_of(item))
        similarity = (content.vectors_ @ described.T).toarray().ravel()
    elif index >= 0:
        vectors = forward.item_similarity.vectors
        similarity = np.maximum(vectors @ vectors[index], 0)
    else:
        similarity = forward.in_categories(item.categories if item is not None else ()).astype(np.float32)
    if np.count_nonzero(similarity) > MAX_SIMILAR_ITEMS:
        least = np.partition(similarity, -MAX_SIMILAR_ITEMS)[-MAX_SIMILAR_ITEMS]
        similarity = np.where(similarity >= least, similarity, 0)
    return similarity.astype(np.float32)


def _catalogue_of(item: Item | None) -> Catalogue:
    """An item of the service's own catalogue, as a catalogue of one item."""
    known = Item("") if item is None else item
    row = {"item_id": known.item_id, "title": known.title, "text": known.text, "categories": list(known.categories)}
    return Catalogue.from_frame(pd.DataFrame([row]), IdMap([known.item_id]))


def _excluded_users(
    users: IdMap, interactions: NDArray[np.int64], request: UsersRequest, thresholds: EvaluationConfig
) -> NDArray[np.bool_]:
    """Users that must not be listed: bool[n_users]; `interactions`: int64[n_users], those of training."""
    excluded = excluded_mask(request.excluded, users)
    if request.among is not None:
        excluded |= ~excluded_mask(request.among, users)
    if request.segment is not None:
        excluded |= segments_of(interactions, thresholds.cold_below, thresholds.hot_from) != request.segment
    return excluded
