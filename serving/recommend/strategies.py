"""The strategies a request may choose from, and the loaded model that serves a strategy."""

from __future__ import annotations

from recstage.config import names_in
from recstage.errors import valid_names
from recstage.models.base import POPULARITY
from serving.errors import Problem
from serving.models.fallback import FallbackModels
from serving.models.loaded_model import LoadedModel
from serving.models.version_manager import VersionManager
from serving.recommend.request import AUTO

FALLBACK = ("content", "graph")
"""Models that the service can fit on its own data."""
COMPOSED = ("hybrid",)


def strategies() -> frozenset[str]:
    """Every strategy that a request may name, whether or not the served version has it."""
    return frozenset({AUTO, POPULARITY, *FALLBACK, *COMPOSED, *names_in("model")})


def select_model(
    strategy: str, versions: VersionManager, fallback: FallbackModels, known: frozenset[str]
) -> LoadedModel:
    """The loaded model that serves a request with this strategy; a request takes it once.

    In this order: the Production version; the fallback models where it is unset, or where only they have the strategy;
    the popularity of the version that was Production last. A strategy that no loaded model has is served as `auto`.

    Args:
        strategy: as the request names it.
        versions: follows the Production version.
        fallback: the models from the service's own data.
        known: every valid strategy, as `strategies` gives them.

    Raises:
        Problem: 503 while there is no model at all; 422 where the strategy is unknown.
    """
    served = versions.served
    if served is None:
        served = fallback.served or versions.last_popularity
        if served is None:
            raise Problem(503, "no-production", versions.why_not_ready(), headers={"retry-after": "5"})
    if strategy in (AUTO, POPULARITY) or strategy in served.methods:
        return served
    if strategy not in known:
        names = known | set(served.methods)
        raise Problem(422, "unknown-strategy", f"There is no strategy '{strategy}'. {valid_names(strategy, names)}.")
    own = fallback.served
    if own is not None and strategy in own.methods:
        return own
    fallback.request()
    return served
