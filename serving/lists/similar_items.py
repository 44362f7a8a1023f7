"""Items similar to one item, or to the items of a basket, by the vectors of the served version."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recstage import rerank
from recstage.models.ranking import mask_excluded, top_k
from serving.interfaces import HiddenItems
from serving.models import item_digests
from serving.models.exclusion import as_row, excluded_mask
from serving.models.loaded_model import LoadedModel
from serving.recommend.ranking import diversity_of
from serving.recommend.request import RankedItems, RecommendationRequest
from serving.rules.arrange import arrange_scores
from serving.rules.candidates import POOL, SMALLEST_POOL
from serving.rules.engine import WITHOUT_RULES, ActiveRules
from serving.rules.plan import ListPlan

INLINE_FLOATS = 1 << 22
"""Vectors of so many numbers are gone through within a millisecond or two: sooner than a thread would take over."""


def is_quick(served: LoadedModel) -> bool:
    """Whether similar items are found so fast that it may be done on the event loop."""
    return served.similar_item_vectors.vectors.size <= INLINE_FLOATS


def unknown_items(served: LoadedModel, item_ids: Sequence[str]) -> list[str]:
    """The items that the version was not trained on."""
    return [item_id for item_id in item_ids if served.train.items.find(item_id) < 0]


def similar_items(
    served: LoadedModel,
    request: RecommendationRequest,
    item_ids: Sequence[str],
    hidden: HiddenItems,
    rules: ActiveRules = WITHOUT_RULES,
) -> RankedItems:
    """The items whose cosine with the given ones is highest, on average over a basket; never the given ones.

    `method` names what the vectors are made of: the model's item vectors, categories, or who chose the items. Items
    that have nothing in common with the basket (a cosine of 0 or less) are not listed.

    Args:
        served: the loaded model.
        request: the parameters of the list; its user is not looked at.
        item_ids: the item, or all items of the basket; all of them must be known.
        hidden: items that must not be listed.
        rules: the business rules that hold now.
    """
    vectors = served.similar_item_vectors.vectors
    basket = np.array([served.train.items.find(item_id) for item_id in item_ids], np.int32)
    excluded = served.excluded(hidden) | excluded_mask(request.exclude, served.train.items)
    excluded[basket] = True
    plan = rules.plan(served, request.list_kind, None, request.categories)
    for mask in (rules.excluded(served, request.all_filters), None if plan is None else plan.excluded):
        if mask is not None:
            excluded |= mask
    if request.shown:
        excluded |= np.isin(served.item_digests, item_digests.unpacked(request.shown))
    cosines = vectors @ vectors[basket].mean(axis=0)
    unlike = cosines <= 0
    if plan is not None and plan.arranges:
        return _by_rules(served, request, plan, basket, excluded, np.where(unlike, -np.inf, cosines))
    excluded |= unlike
    k = request.limit if request.diversify >= 1 else max(POOL * request.limit, SMALLEST_POOL)
    found, scores = top_k(mask_excluded(cosines[None].astype(np.float32), as_row(excluded)), k)
    if request.diversify < 1 and found[0, 0] >= 0:
        found, scores = rerank.mmr(found, scores, vectors, request.limit, request.diversify)
    kept = found[0] >= 0
    items = found[0][kept]
    reasons = _reasons(served, vectors, basket, items) if request.explain else None
    names = () if plan is None else tuple(rule.name for rule in plan.excluding)
    method = served.similar_item_vectors.source
    return RankedItems(served, items, scores[0][kept], method, diversity_of(vectors, items), reasons, names)


def _by_rules(
    served: LoadedModel,
    request: RecommendationRequest,
    plan: ListPlan,
    basket: NDArray[np.int32],
    excluded: NDArray[np.bool_],
    cosines: NDArray[np.float32],
) -> RankedItems:
    """The list that business rules make of the similar items; a pinned item need not be similar, and then scores 0."""
    vectors = served.similar_item_vectors.vectors

    def varied(
        items: NDArray[np.int32], values: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        chosen, kept = rerank.mmr(items[None], values[None], vectors, k, request.diversify)
        real = chosen[0] >= 0
        return chosen[0][real], kept[0][real]

    scores = cosines.astype(np.float32)
    found = arrange_scores(plan, request.limit, excluded, scores, varied if request.diversify < 1 else None)
    items, values = found.items, np.where(np.isfinite(found.scores), found.scores, np.float32(0))
    reasons = None
    if request.explain:
        why = zip(items.tolist(), _reasons(served, vectors, basket, items), strict=True)
        reasons = [
            f"It was placed here by the rule '{found.pinned[item].name}'." if item in found.pinned else reason
            for item, reason in why
        ]
    names = tuple(rule.name for rule in found.applied)
    method = served.similar_item_vectors.source
    return RankedItems(served, items, values, method, diversity_of(vectors, items), reasons, names)


def _reasons(
    served: LoadedModel, vectors: NDArray[np.float32], basket: NDArray[np.int32], items: NDArray[np.int32]
) -> list[str]:
    """Of each item, which one of the basket it is most similar to."""
    nearest = basket[(vectors[items] @ vectors[basket].T).argmax(axis=1)] if len(items) else basket[:0]
    return [f"It is similar to '{served.titles[near] or served.item_ids[near]}'." for near in nearest.tolist()]
