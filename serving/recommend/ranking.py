"""From a request to a list: one version, one person, what he did since, and the wishes of the request.

Whatever fails or is missing on the way, an answer comes: a model that cannot score the person or raises is followed by
the next of the chain, and the chain by popularity. `method` says what spoke.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage import rerank
from recstage.models.base import POPULARITY, Recommender, mask_excluded
from recstage.models.ranking import top_k
from serving.interfaces import NO_HISTORY, HiddenItems, History
from serving.models.loaded_model import LoadedModel
from serving.models.user import UserContext
from serving.recommend.explanations import PREFERENCES, reasons_for
from serving.recommend.request import RankedItems, RecommendationRequest

log = logging.getLogger("serving.recommend.ranking")
POOL = 5
"""MMR chooses from so many times the list's length."""
SMALLEST_POOL = 50
NOTHING_HIDDEN = HiddenItems()
OnFailure = Callable[[str], None]


def ignore(model: str) -> None:
    """An `OnFailure` that nobody listens to."""


def answer(
    served: LoadedModel,
    ask: RecommendationRequest,
    history: History = NO_HISTORY,
    hidden: HiddenItems = NOTHING_HIDDEN,
    on_failure: OnFailure = ignore,
) -> RankedItems:
    """The list that `served` gives. `on_failure` is told the name of each model that raised."""
    person = served.person(ask.user_id, history)
    excluded = excluded_row(served, person, ask, hidden)
    k = ask.limit if ask.diversify >= 1 else max(POOL * ask.limit, SMALLEST_POOL)
    items, scores, method = best(served, ask.strategy, person, k, excluded, on_failure)
    if ask.diversify < 1 and len(items) > 1:
        items, scores = varied(served, items, scores, ask.limit, ask.diversify)
    reasons = reasons_for(served, method, person, items.tolist()) if ask.explain else None
    return RankedItems(served, items, scores, method, diversity_of(served.item_similarity.vectors, items), reasons)


def varied(
    served: LoadedModel, items: NDArray[np.int32], scores: NDArray[np.float32], k: int, diversify: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """k of the candidates by maximal marginal relevance."""
    chosen, kept_scores = rerank.mmr(items[None], scores[None], served.item_similarity.vectors, k, diversify)
    real = chosen[0] >= 0
    return chosen[0][real], kept_scores[0][real]


def models_for(served: LoadedModel, strategy: str) -> tuple[Recommender, ...]:
    """Who is asked, in this order, before popularity. A strategy that this version lacks is answered as 'auto'."""
    if strategy == POPULARITY:
        return ()
    chosen = served.methods.get(strategy)
    return served.chain if chosen is None else (chosen, *(model for model in served.chain if model is not chosen))


def best(
    served: LoadedModel, strategy: str, person: UserContext, k: int, excluded: sparse.csr_matrix, on_failure: OnFailure
) -> tuple[NDArray[np.int32], NDArray[np.float32], str]:
    """The k best items of one person, as the first model of the chain that can score him ranks them."""
    for model in models_for(served, strategy):
        try:
            users = person.users_for(model)
            if not model.can_score(users)[0]:
                continue
            found = model.rank_scored(users, k, excluded)
        except Exception:  # one part failing must not leave anybody without a list
            _failed(model, on_failure)
            continue
        kept = found.items[0] >= 0
        return found.items[0][kept], found.scores[0][kept], str(found.methods[0])
    scored, method = for_unknown_user(served, person)
    items, scores = top_k(mask_excluded(scored[None].copy(), excluded), k)
    kept = items[0] >= 0
    return items[0][kept], scores[0][kept], method


def scores_of(
    served: LoadedModel, strategy: str, person: UserContext, items: NDArray[np.int32], on_failure: OnFailure = ignore
) -> tuple[NDArray[np.float32], str]:
    """Scores of the given items for one person, and what spoke: float32[len(items)]."""
    for model in models_for(served, strategy):
        try:
            users = person.users_for(model)
            if model.can_score(users)[0]:
                return model.score(users, items)[0], model.name
        except Exception:  # as above
            _failed(model, on_failure)
    scored, method = for_unknown_user(served, person)
    return scored[items], method


def for_unknown_user(served: LoadedModel, person: UserContext) -> tuple[NDArray[np.float32], str]:
    """Scores of the whole catalogue for somebody no model can score: by the categories he declared, or popularity."""
    if not person.categories:
        return served.popularity, POPULARITY
    content = served.content
    if content is not None:
        declared = content.score_declared(person.users, [person.categories])[0]
        if declared.any():
            return declared, content.name
    scores = served.popularity.copy()
    for place, name in enumerate(person.categories, start=1):
        scores += served.in_categories([name]) * np.float32(1 + 1 / place)
    return scores, PREFERENCES


def _failed(model: Recommender, on_failure: OnFailure) -> None:
    log.exception("a model failed", extra={"event": "model-failed", "model": model.name})
    on_failure(model.name)


def excluded_row(
    served: LoadedModel, person: UserContext, ask: RecommendationRequest, hidden: HiddenItems
) -> sparse.csr_matrix:
    """What must not be listed: bool[1, n_items]."""
    excluded = served.excluded(hidden).copy()
    if ask.exclude_seen:
        excluded[person.users.items] = True
    for item_id in ask.exclude:
        index = served.train.items.find(item_id)
        if index >= 0:
            excluded[index] = True
    if ask.categories:
        excluded |= ~served.in_categories(ask.categories)
    return as_row(excluded)


def as_row(excluded: NDArray[np.bool_]) -> sparse.csr_matrix:
    """A mask of the whole catalogue as models take it: bool[1, n_items]."""
    columns = np.flatnonzero(excluded).astype(np.int32)
    return sparse.csr_matrix(
        (np.ones(len(columns), bool), columns, np.array([0, len(columns)], np.int32)), shape=(1, len(excluded))
    )


def diversity_of(vectors: NDArray[np.float32], items: NDArray[np.int32]) -> float | None:
    """1 minus the mean cosine of the pairs of a list: intra-list diversity."""
    n = len(items)
    if n < 2:
        return None
    chosen = vectors[items]
    total = chosen.sum(axis=0)
    pairs = float(total @ total) - float(np.einsum("ij,ij->", chosen, chosen))
    return min(1.0, max(0.0, 1.0 - pairs / (n * (n - 1))))
