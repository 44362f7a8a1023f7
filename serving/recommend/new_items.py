"""Items that the served version was not trained with, in its lists: at the place that their content gives them.

Such an item scores as the trained items most like it. A share of each list is theirs (`new_item_share`): so many of
them stand where their score puts them, or at the end where that is lower than the rest of the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from serving.catalogue.placement import PlacedItem
from serving.models.loaded_model import LoadedModel
from serving.models.user import UserContext
from serving.recommend.ranking import OnFailure, diversity_of, ignore, scores_of
from serving.recommend.request import RankedItems, UntrainedItem

CONSIDERED = 20
"""Of the items that may be listed, so many that are most like the list are scored."""


def placed_scores(
    served: LoadedModel,
    strategy: str,
    user: UserContext,
    placed: Sequence[PlacedItem],
    items: NDArray[np.int32],
    on_failure: OnFailure = ignore,
) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    """Scores of placed items float32[m] and of trained ones float32[n], by one call of the model; and its name.

    Args:
        served: the loaded model.
        strategy: a model by name, or `auto`.
        user: for whom.
        placed: untrained items with their places.
        items: int32[n], indices of trained items.
        on_failure: called with the name of each model that raised.
    """
    every = np.unique(np.concatenate([items, *(one.neighbours for one in placed)])).astype(np.int32)
    scores, method = scores_of(served, strategy, user, every, on_failure)
    found = [float(one.weights @ scores[np.searchsorted(every, one.neighbours)]) for one in placed]
    return np.array(found, np.float32), scores[np.searchsorted(every, items)], method


def with_new_items(
    ranked: RankedItems,
    strategy: str,
    user: UserContext,
    candidates: Sequence[PlacedItem],
    limit: int,
    places: int,
    *,
    explain: bool = False,
    on_failure: OnFailure = ignore,
) -> RankedItems:
    """The list with the best `places` of the candidates in it.

    Args:
        ranked: the list of trained items.
        strategy: a model by name, or `auto`.
        user: for whom.
        candidates: untrained items that may be listed.
        limit: of the list.
        places: how many of its places are theirs.
        explain: whether each gets a reason.
        on_failure: called with the name of each model that raised.
    """
    if not candidates or places < 1:
        return ranked
    served, vectors = ranked.served, ranked.served.item_similarity.vectors
    if len(candidates) > CONSIDERED and len(ranked.items):
        centre = vectors[ranked.items].mean(axis=0)
        nearness = np.array([one.vector(vectors) @ centre for one in candidates])
        candidates = [candidates[place] for place in np.argsort(-nearness, kind="stable")[:CONSIDERED].tolist()]
    scores, _, _ = placed_scores(served, strategy, user, candidates, np.array([], np.int32), on_failure)
    best = np.argsort(-scores, kind="stable")[: min(places, limit)].tolist()
    return inserted(ranked, [(candidates[place], float(scores[place])) for place in best], limit, explain=explain)


def inserted(
    ranked: RankedItems, chosen: Sequence[tuple[PlacedItem, float]], limit: int, *, explain: bool = False
) -> RankedItems:
    """The list with these items at the places of their scores; the last of its own items make room for them."""
    kept = max(0, min(len(ranked.items), limit - len(chosen)))
    items, scores = ranked.items[:kept], ranked.scores[:kept]
    served, vectors = ranked.served, ranked.served.item_similarity.vectors
    untrained = [
        UntrainedItem(
            int((scores >= score).sum()) + before, one.item_id, score, _reason(served, one) if explain else None
        )
        for before, (one, score) in enumerate(sorted(chosen, key=lambda pair: -pair[1]))
    ]
    own = [one.vector(vectors) for one, _ in chosen]
    together = np.vstack([vectors[items], *own]) if own else vectors[items]
    return replace(
        ranked,
        items=items,
        scores=scores,
        diversity=diversity_of(together, np.arange(len(together), dtype=np.int32)),
        reasons=None if ranked.reasons is None else list(ranked.reasons)[:kept],
        untrained=tuple(untrained),
    )


def _reason(served: LoadedModel, one: PlacedItem) -> str:
    near = int(one.neighbours[0])
    return f"It is new, and similar to '{served.titles[near] or served.item_ids[near]}'."
