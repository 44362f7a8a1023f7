"""Why an item is on a list, in plain words and numbers, without naming another user."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from recstage.models.explanation import by_popularity
from serving.models.loaded_model import LoadedModel
from serving.models.user import UserContext

log = logging.getLogger("serving.recommend.explanations")
PREFERENCES = "preferences"


def reasons_for(served: LoadedModel, method: str, user: UserContext, items: Sequence[int]) -> list[str]:
    """One sentence an item, from the model that ranked them."""
    return [_reason(served, method, user, item) for item in items]


def name_of(method: str) -> str:
    """The model of a method: "hybrid" of "hybrid:als+graph"."""
    return method.partition(":")[0]


def _reason(served: LoadedModel, method: str, user: UserContext, item: int) -> str:
    model = served.methods.get(name_of(method))
    if model is not None:
        try:
            return model.explain(user.users_for(model), item).text
        except Exception:  # a list without this reason is better than no list
            log.exception("a model cannot explain itself", extra={"event": "explain-failed", "model": model.name})
    elif method == PREFERENCES:
        declared = [name for name in user.categories if name in served.catalogue.categories[item]]
        if declared:
            return f"It belongs to {' and '.join(declared)}, which you prefer."
    return by_popularity(served.train, item).text
