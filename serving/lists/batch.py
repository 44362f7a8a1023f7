"""Lists of many users by one call of each model; equal to the lists that each user would get alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage import rerank
from recstage.data.interactions import Users
from recstage.models.base import Recommender
from serving.interfaces import HiddenItems, History
from serving.models.exclusion import as_row
from serving.models.loaded_model import LoadedModel
from serving.models.user import UserContext
from serving.recommend.explanations import reasons_for
from serving.recommend.ranking import (
    Failures,
    OnFailure,
    best,
    diversity_of,
    excluded_items,
    for_unknown_user,
    ignore,
    models_for,
    recommend,
)
from serving.recommend.request import RankedItems, RecommendationRequest
from serving.rules.candidates import POOL, SMALLEST_POOL
from serving.rules.engine import WITHOUT_RULES, ActiveRules
from serving.rules.query import references

Ranked = tuple[NDArray[np.int32], NDArray[np.float32], str]
"""Items of one user, best first, their scores, and the model used."""


def recommend_many(
    served: LoadedModel,
    request: RecommendationRequest,
    users: Sequence[tuple[str, History]],
    hidden: HiddenItems,
    on_failure: OnFailure = ignore,
    rules: ActiveRules = WITHOUT_RULES,
) -> list[RankedItems]:
    """The list of each user. Where business rules pin, boost or limit items, those lists are made one by one.

    Args:
        served: the loaded model that ranks.
        request: the parameters of all lists; its user is not looked at.
        users: ids and current histories.
        hidden: items that must not be listed.
        on_failure: called with the name of each model that raised.
        rules: the business rules that hold now.

    Raises:
        InvalidFilter: a filter of the request does not fit the attributes of these items.
    """
    contexts = [served.user_context(user_id, history, request.given) for user_id, history in users]
    personal = bool(references(request.filters))
    filtered = None if personal else rules.excluded(served, request.all_filters)
    plans = [
        rules.plan(served, request.list_kind, len(one.users.items), request.categories, request.known(history.profile))
        for one, (_, history) in zip(contexts, users, strict=True)
    ]
    if personal or any(plan is not None and plan.arranges for plan in plans):
        return [
            recommend(served, replace(request, user_id=user_id), history, hidden, on_failure, rules)
            for user_id, history in users
        ]
    masks = []
    for user, plan in zip(contexts, plans, strict=True):
        mask = excluded_items(served, user, request, hidden)
        for more in (filtered, None if plan is None else plan.excluded):
            if more is not None:
                mask |= more
        masks.append(as_row(mask))
    excluded = sparse.vstack(masks, format="csr")
    k = request.limit if request.diversify >= 1 else max(POOL * request.limit, SMALLEST_POOL)
    failures = Failures(on_failure)
    found = _ranked(served, request.strategy, contexts, k, excluded, failures)
    if request.diversify < 1:
        found = _diversified(served, found, request.limit, request.diversify)
    vectors = served.item_similarity.vectors
    return [
        RankedItems(
            served,
            items,
            scores,
            method,
            diversity_of(vectors, items),
            reasons_for(served, method, user, items.tolist()) if request.explain else None,
            () if plan is None else tuple(rule.name for rule in plan.excluding),
            degraded=failures.any,
        )
        for user, plan, (items, scores, method) in zip(contexts, plans, found, strict=True)
    ]


def score_many(
    served: LoadedModel,
    strategy: str,
    users: Sequence[tuple[str, History]],
    items: NDArray[np.int32],
    on_failure: OnFailure = ignore,
) -> tuple[NDArray[np.float32], list[str]]:
    """Scores of the same items for many users, float32[n_users, len(items)], and the model used for each user.

    Args:
        served: the loaded model that scores.
        strategy: a model by name, or `auto`.
        users: ids and current histories.
        items: int32[m], indices of items.
        on_failure: called with the name of each model that raised.
    """
    contexts = [served.user_context(user_id, history) for user_id, history in users]
    scores = np.empty((len(users), len(items)), np.float32)
    methods = [""] * len(users)
    left = np.arange(len(users))
    for model in models_for(served, strategy):
        batch, able = _able(model, contexts, left, on_failure)
        if batch is None:
            continue
        try:
            scores[left[able]] = model.score(batch, items)
        except Exception:  # one model failing must leave no user without scores
            on_failure(model.name)
            continue
        for row in left[able].tolist():
            methods[row] = model.name
        left = left[~able]
        if not len(left):
            break
    for row in left.tolist():
        whole, methods[row] = for_unknown_user(served, contexts[row])
        scores[row] = whole[items]
    return scores, methods


def _ranked(
    served: LoadedModel,
    strategy: str,
    contexts: Sequence[UserContext],
    k: int,
    excluded: sparse.csr_matrix,
    on_failure: OnFailure,
) -> list[Ranked]:
    """The k best items of each user: by the first model of the chain that can score them."""
    found: list[Ranked | None] = [None] * len(contexts)
    left = np.arange(len(contexts))
    for model in models_for(served, strategy):
        batch, able = _able(model, contexts, left, on_failure)
        if batch is None:
            continue
        rows = left[able]
        try:
            ranking = model.rank_scored(batch, k, excluded[rows])
        except Exception:  # one model failing must leave no user without a list
            on_failure(model.name)
            continue
        for place, row in enumerate(rows.tolist()):
            kept = ranking.items[place] >= 0
            found[row] = (ranking.items[place][kept], ranking.scores[place][kept], str(ranking.methods[place]))
        left = left[~able]
        if not len(left):
            break
    for row in left.tolist():
        found[row] = best(served, "popularity", contexts[row], k, excluded[row], on_failure)
    return [one for one in found if one is not None]


def _able(
    model: Recommender, contexts: Sequence[UserContext], left: NDArray[np.int64], on_failure: OnFailure
) -> tuple[Users | None, NDArray[np.bool_]]:
    """Those of the users `left` whom the model can score, as one batch (None: none), and which they are: bool[n]."""
    try:
        users = Users.concatenated([contexts[row].users_for(model) for row in left.tolist()])
        able = model.can_score(users)
    except Exception:  # as above
        on_failure(model.name)
        return None, np.zeros(len(left), bool)
    if not able.any():
        return None, able
    return users if able.all() else users.take(able), able


def _diversified(served: LoadedModel, found: Sequence[Ranked], k: int, lambda_: float) -> list[Ranked]:
    """k of each user's candidates by maximal marginal relevance, all users at once."""
    width = max((len(items) for items, _, _ in found), default=0)
    if not width:
        return list(found)
    items = np.full((len(found), width), -1, np.int32)
    scores = np.full((len(found), width), -np.inf, np.float32)
    for row, (some, their_scores, _) in enumerate(found):
        items[row, : len(some)], scores[row, : len(some)] = some, their_scores
    chosen, kept = rerank.mmr(items, scores, served.item_similarity.vectors, k, lambda_)
    return [
        (row[row >= 0], values[row >= 0], method)
        for row, values, (_, _, method) in zip(chosen, kept, found, strict=True)
    ]
