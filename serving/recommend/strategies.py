"""The strategies that a request may choose from."""

from __future__ import annotations

from recstage.config import names_in
from recstage.models.base import POPULARITY
from serving.recommend.request import AUTO

OWN = ("content", "graph")
COMPOSED = ("hybrid",)


def strategies() -> frozenset[str]:
    """Every strategy that a request may name, whether or not the served version has it."""
    return frozenset({AUTO, POPULARITY, *OWN, *COMPOSED, *names_in("model")})
