"""From a request to a ranked list, by one loaded model for one user with their current history.

A list is always returned: a model that cannot score the user, or that raises, is followed by the next of the chain, and
the last by popularity. `method` is the model used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage import rerank
from recstage.experiments.exploration import explore
from recstage.models.base import POPULARITY, Recommender, mask_excluded
from recstage.models.ranking import top_k
from serving.interfaces import NO_HISTORY, HiddenItems, History
from serving.models import item_digests
from serving.models.exclusion import as_row, excluded_mask
from serving.models.loaded_model import LoadedModel
from serving.models.user import UserContext
from serving.recommend.explanations import PREFERENCES, reasons_for
from serving.recommend.request import RankedItems, RecommendationRequest
from serving.rules.arrange import Arranged, arrange, best_of
from serving.rules.candidates import POOL, SMALLEST_POOL
from serving.rules.engine import WITHOUT_RULES, ActiveRules
from serving.rules.plan import ListPlan

log = logging.getLogger("serving.recommend.ranking")
NOTHING_HIDDEN = HiddenItems()
OnFailure = Callable[[str], None]


def ignore(model: str) -> None:
    """An `OnFailure` that does nothing."""


class Failures:
    """An `OnFailure` that remembers whether a model raised: what is made then is degraded."""

    __slots__ = ("_count", "any")

    def __init__(self, count: OnFailure) -> None:
        self._count, self.any = count, False

    def __call__(self, model: str) -> None:
        self.any = True
        self._count(model)


def recommend(
    served: LoadedModel,
    request: RecommendationRequest,
    history: History = NO_HISTORY,
    hidden: HiddenItems = NOTHING_HIDDEN,
    on_failure: OnFailure = ignore,
    rules: ActiveRules = WITHOUT_RULES,
) -> RankedItems:
    """The list for a request; `on_failure` is called with the name of each model that raised.

    Args:
        served: the loaded model that ranks.
        request: for which user, and the parameters of the list.
        history: the user's current history.
        hidden: items that must not be listed.
        on_failure: counts failures.
        rules: the business rules that hold now.

    Raises:
        InvalidFilter: a filter of the request does not fit the attributes of these items.
    """
    failures = Failures(on_failure)
    user = served.user_context(request.user_id, history, request.given)
    mask = excluded_items(served, user, request, hidden)
    filtered = rules.excluded(served, request.filters_for(history.profile))
    if filtered is not None:
        mask |= filtered
    said = request.known(history.profile)
    plan = rules.plan(served, request.list_kind, len(user.users.items), request.categories, said)
    if plan is not None and plan.excluded is not None:
        mask |= plan.excluded
    if plan is not None and plan.arranges:
        return _by_rules(served, request, user, mask, failures, plan)
    excluded = as_row(mask)
    k = request.limit if request.diversify >= 1 else max(POOL * request.limit, SMALLEST_POOL)
    items, scores, method = best(served, request.strategy, user, k, excluded, failures)
    if request.diversify < 1 and len(items) > 1:
        items, scores = diversify(served, items, scores, request.limit, request.diversify)
    reasons = reasons_for(served, method, user, items.tolist()) if request.explain else None
    diversity = diversity_of(served.item_similarity.vectors, items)
    names = () if plan is None else tuple(rule.name for rule in plan.excluding)
    return RankedItems(served, items, scores, method, diversity, reasons, names, degraded=failures.any)


def _by_rules(
    served: LoadedModel,
    request: RecommendationRequest,
    user: UserContext,
    mask: NDArray[np.bool_],
    failures: Failures,
    plan: ListPlan,
) -> RankedItems:
    """The list that business rules make of the model's candidates."""
    scores = _UserScores(served, request.strategy, user, mask, failures)

    def varied(
        items: NDArray[np.int32], values: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        return diversify(served, items, values, k, request.diversify)

    choose = varied if request.diversify < 1 else None
    found = arrange(plan, request.limit, mask, scores.retrieve, scores.of, choose)
    reasons = _reasons_with_pins(served, scores.method, user, found) if request.explain else None
    diversity = diversity_of(served.item_similarity.vectors, found.items)
    names = tuple(rule.name for rule in found.applied)
    return RankedItems(
        served, found.items, found.scores, scores.method, diversity, reasons, names, degraded=failures.any
    )


def _reasons_with_pins(served: LoadedModel, method: str, user: UserContext, found: Arranged) -> list[str]:
    """One sentence an item; of a pinned one, the rule that pins it."""
    reasons = reasons_for(served, method, user, found.items.tolist())
    for place, item in enumerate(found.items.tolist()):
        if item in found.pinned:
            reasons[place] = f"It was placed here by the rule '{found.pinned[item].name}'."
    return reasons


def explored(
    served: LoadedModel,
    request: RecommendationRequest,
    history: History,
    hidden: HiddenItems,
    share: float,
    rng: np.random.Generator,
    on_failure: OnFailure = ignore,
    rules: ActiveRules = WITHOUT_RULES,
) -> tuple[RankedItems, tuple[float, ...]]:
    """The list with a share of its slots swapped with candidates, and the propensity of each item at its rank.

    The candidates are a ranking `POOL` times as long; `diversify` re-ranks all of them before. A list that business
    rules arrange is left as it is: chance must not move what an editor placed.
    """
    seen = len(served.user_context(request.user_id, history, request.given).users.items)
    plan = rules.plan(served, request.list_kind, seen, request.categories, request.known(history.profile))
    if plan is not None and plan.arranges:
        return recommend(served, request, history, hidden, on_failure, rules), ()
    pool = max(POOL * request.limit, SMALLEST_POOL)
    ranked = recommend(served, replace(request, limit=pool, explain=False), history, hidden, on_failure, rules)
    chosen, chances = explore(ranked.scores, request.limit, share, rng)
    items = ranked.items[chosen]
    reasons = None
    if request.explain:
        user = served.user_context(request.user_id, history, request.given)
        reasons = reasons_for(served, ranked.method, user, items.tolist())
    diversity = diversity_of(served.item_similarity.vectors, items)
    kept = replace(ranked, items=items, scores=ranked.scores[chosen], diversity=diversity, reasons=reasons)
    return kept, tuple(chances.tolist())


class _UserScores:
    """The scores of one user, of which the rules ask for several lists.

    Where the model ranks by its scores of the whole catalogue, these are computed once; an index or a composite of
    models is asked for each list. `method`: the model used.
    """

    def __init__(
        self,
        served: LoadedModel,
        strategy: str,
        user: UserContext,
        excluded: NDArray[np.bool_],
        on_failure: OnFailure,
    ) -> None:
        self._arguments = (served, strategy, user)
        self._excluded, self._on_failure = excluded, on_failure
        self.method = POPULARITY
        self._all = self._computed(served, strategy, user)
        self._listed = None if self._all is None else np.where(excluded, np.float32(-np.inf), self._all)

    def retrieve(self, k: int, only: NDArray[np.bool_] | None) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The k best items that are not excluded, of those of a mask where one is given, and their scores."""
        if self._listed is None:
            excluded = as_row(self._excluded if only is None else self._excluded | ~only)
            items, scores, method = best(*self._arguments, min(k, len(self._excluded)), excluded, self._on_failure)
            self.method = method if only is None else self.method
            return items, scores
        return best_of(self._listed, k, None if only is None else np.flatnonzero(only).astype(np.int32))

    def of(self, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Scores of some items, excluded or not."""
        if self._all is not None:
            return self._all[items]
        return scores_of(*self._arguments, items, self._on_failure)[0]

    def _computed(self, served: LoadedModel, strategy: str, user: UserContext) -> NDArray[np.float32] | None:
        for model in models_for(served, strategy):
            try:
                users = user.users_for(model)
                if not model.can_score(users)[0]:
                    continue
                if not _ranks_by_score(model):
                    return None
                scores = model.score(users)[0]
            except Exception:  # as in `best`
                _failed(model, self._on_failure)
                continue
            self.method = model.name
            return scores
        scores, self.method = for_unknown_user(served, user)
        return scores


def _ranks_by_score(model: Recommender) -> bool:
    """Whether a model's lists are the best of its scores of the whole catalogue, with nothing between."""
    return type(model).rank_scored is Recommender.rank_scored and not model.indexed


def diversify(
    served: LoadedModel, items: NDArray[np.int32], scores: NDArray[np.float32], k: int, lambda_: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """k of the candidates by maximal marginal relevance.

    Args:
        served: the loaded model, whose item vectors give the similarity.
        items: candidates, best first: int32[n].
        scores: of the candidates: float32[n].
        k: items wanted.
        lambda_: 1 keeps the order of the scores, 0 is the most varied.
    """
    chosen, kept_scores = rerank.mmr(items[None], scores[None], served.item_similarity.vectors, k, lambda_)
    real = chosen[0] >= 0
    return chosen[0][real], kept_scores[0][real]


def models_for(served: LoadedModel, strategy: str) -> tuple[Recommender, ...]:
    """The models to try, in this order, before popularity; `auto` where this version lacks the strategy."""
    if strategy == POPULARITY:
        return ()
    chosen = served.methods.get(strategy)
    return served.chain if chosen is None else (chosen, *(model for model in served.chain if model is not chosen))


def best(
    served: LoadedModel, strategy: str, user: UserContext, k: int, excluded: sparse.csr_matrix, on_failure: OnFailure
) -> tuple[NDArray[np.int32], NDArray[np.float32], str]:
    """The k best items of one user, ranked by the first model of the chain that can score them.

    Args:
        served: the loaded model.
        strategy: a model by name, or `auto`.
        user: for whom.
        k: items wanted; fewer are returned where fewer are left.
        excluded: bool[1, n_items], what must not be listed.
        on_failure: called with the name of each model that raised.

    Returns:
        Items int32[<= k], their scores float32[<= k], and the model used.
    """
    for model in models_for(served, strategy):
        try:
            users = user.users_for(model)
            if not model.can_score(users)[0]:
                continue
            found = model.rank_scored(users, k, excluded)
        except Exception:  # one model failing must leave no user without a list
            _failed(model, on_failure)
            continue
        kept = found.items[0] >= 0
        return found.items[0][kept], found.scores[0][kept], str(found.methods[0])
    scored, method = for_unknown_user(served, user)
    items, scores = top_k(mask_excluded(scored[None].copy(), excluded), k)
    kept = items[0] >= 0
    return items[0][kept], scores[0][kept], method


def scores_of(
    served: LoadedModel, strategy: str, user: UserContext, items: NDArray[np.int32], on_failure: OnFailure = ignore
) -> tuple[NDArray[np.float32], str]:
    """Scores of the given items for one user, float32[len(items)], and the model used.

    Args:
        served: the loaded model.
        strategy: a model by name, or `auto`.
        user: for whom.
        items: int32[n], indices of items.
        on_failure: called with the name of each model that raised.
    """
    for model in models_for(served, strategy):
        try:
            users = user.users_for(model)
            if model.can_score(users)[0]:
                return model.score(users, items)[0], model.name
        except Exception:  # as above
            _failed(model, on_failure)
    scored, method = for_unknown_user(served, user)
    return scored[items], method


def for_unknown_user(served: LoadedModel, user: UserContext) -> tuple[NDArray[np.float32], str]:
    """Scores of all items for a user that no model can score: float32[n_items], and the method.

    By the categories the user declared, or by popularity.
    """
    if not user.categories:
        return served.popularity, POPULARITY
    content = served.content
    if content is not None:
        declared = content.score_declared(user.users, [user.categories])[0]
        if declared.any():
            return declared, content.name
    scores = served.popularity.copy()
    for place, name in enumerate(user.categories, start=1):
        # popularity is at most 1, so an item of a declared category comes before any other item
        scores += served.in_categories([name]) * np.float32(1 + 1 / place)
    return scores, PREFERENCES


def _failed(model: Recommender, on_failure: OnFailure) -> None:
    log.exception("a model failed", extra={"event": "model-failed", "model": model.name})
    on_failure(model.name)


def excluded_items(
    served: LoadedModel, user: UserContext, request: RecommendationRequest, hidden: HiddenItems
) -> NDArray[np.bool_]:
    """Items that must not be on this list, filters left aside: bool[n_items]."""
    excluded = served.excluded(hidden).copy()
    if request.exclude_seen:
        excluded[user.users.items] = True
    if request.exclude:
        excluded |= excluded_mask(request.exclude, served.train.items)
    if request.shown:
        excluded |= np.isin(served.item_digests, item_digests.unpacked(request.shown))
    return excluded


def diversity_of(vectors: NDArray[np.float32], items: NDArray[np.int32]) -> float | None:
    """Intra-list diversity: 1 minus the mean cosine of the list's pairs; None for fewer than two items."""
    n = len(items)
    if n < 2:
        return None
    chosen = vectors.take(items, axis=0)
    total, every = np.add.reduce(chosen, 0), chosen.ravel()
    # |sum of vectors|^2 holds each pair twice and each vector's own square once: O(n d) instead of O(n^2 d)
    pairs = float(total.dot(total)) - float(every.dot(every))
    return min(1.0, max(0.0, 1.0 - pairs / (n * (n - 1))))
