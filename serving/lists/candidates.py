"""Candidates of the caller, ordered for one user by the model that a list would use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from serving.interfaces import HiddenItems, History
from serving.models.loaded_model import LoadedModel
from serving.recommend.explanations import reasons_for
from serving.recommend.ranking import Failures, OnFailure, diversify, diversity_of, excluded_items, ignore, scores_of
from serving.recommend.request import RankedItems, RecommendationRequest
from serving.rules.engine import WITHOUT_RULES, ActiveRules

Cause = Literal["unknown", "hidden", "seen", "excluded", "filtered", "rule"]


@dataclass(frozen=True)
class RankedCandidates:
    """The order of the candidates, and why others are not in it."""

    ranked: RankedItems
    left_out: dict[str, Cause] = field(default_factory=dict)


def rank_candidates(
    served: LoadedModel,
    request: RecommendationRequest,
    item_ids: tuple[str, ...],
    history: History,
    hidden: HiddenItems,
    on_failure: OnFailure = ignore,
    rules: ActiveRules = WITHOUT_RULES,
) -> RankedCandidates:
    """The given items, best first; equal scores keep the caller's order.

    Args:
        served: the loaded model that ranks.
        request: for which user, and the parameters of the list; its limit counts after items were left out.
        item_ids: the candidates, each once.
        history: the user's current history.
        hidden: items that must not be listed.
        on_failure: called with the name of each model that raised.
        rules: the business rules that hold now; of them, those that exclude and include items hold for candidates.
    """
    failures = Failures(on_failure)
    user = served.user_context(request.user_id, history, request.given)
    index = served.train.items.index_of(list(item_ids))
    excluded = excluded_items(served, user, request, hidden)
    filtered = rules.excluded(served, request.filters_for(history.profile))
    said = request.known(history.profile)
    plan = rules.plan(served, request.list_kind, len(user.users.items), request.categories, said)
    ruled_out = None if plan is None else plan.excluded
    known = index >= 0
    listed = known.copy()
    for mask in (excluded, filtered, ruled_out):
        if mask is not None:
            listed[known] &= ~mask[index[known]]
    items = index[listed]
    scores, method = scores_of(served, request.strategy, user, items, failures)
    order = np.argsort(-scores, kind="stable")
    items, scores = items[order], scores[order]
    if request.diversify < 1 and len(items) > 1:
        items, scores = diversify(served, items, scores, request.limit, request.diversify)
    items, scores = items[: request.limit], scores[: request.limit]
    reasons = reasons_for(served, method, user, items.tolist()) if request.explain else None
    diversity = diversity_of(served.item_similarity.vectors, items)
    names = () if plan is None else tuple(rule.name for rule in plan.excluding)
    causes: dict[str, Cause] = {}
    for place in np.flatnonzero(~listed).tolist():
        item = int(index[place])
        cause: Cause = "rule" if ruled_out is not None and item >= 0 and ruled_out[item] else "filtered"
        causes[item_ids[place]] = _cause(served, request, item_ids[place], item, hidden, user.users.items) or cause
    ranked = RankedItems(served, items, scores, method, diversity, reasons, names, degraded=failures.any)
    return RankedCandidates(ranked, causes)


def _cause(
    served: LoadedModel,
    request: RecommendationRequest,
    item_id: str,
    index: int,
    hidden: HiddenItems,
    seen: np.ndarray,
) -> Cause | None:
    """Why a candidate is not listed; the first that applies, None: a filter, a category or a rule."""
    if index < 0:
        return "unknown"
    if served.excluded(hidden)[index]:
        return "hidden"
    if item_id in request.exclude:
        return "excluded"
    return "seen" if request.exclude_seen and index in seen else None
