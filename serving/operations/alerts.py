"""Alerts of the last minutes: the rules of `conf/monitoring/alerts.yml` that live figures can answer, by their names.

A test holds the thresholds to those of the file. Prometheus judges over longer times; these are for whoever looks now.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from serving.operations.live import LiveFigures

LEAST_LISTS = 50
"""Shares of fewer lists say nothing."""
FAILED, FALLBACKS, POPULARITY, P99_MS = 0.01, 0.05, 0.5, 50.0
NO_MODEL = ("strategy",)
"""Fallbacks that a request asked for: the strategy that it named is not in this version."""


@dataclass(frozen=True)
class Alert:
    """`name` as in alerts.yml; `text`: one sentence with the figure."""

    name: str
    text: str


def alerts_of(figures: LiveFigures) -> list[Alert]:
    """The alerts that the figures give rise to; none of too few lists."""
    return list(_alerts(figures))


def _alerts(figures: LiveFigures) -> Iterator[Alert]:
    if figures.refused.get("overloaded"):
        number = figures.refused["overloaded"]
        yield Alert("LoadIsShed", f"{number} requests were refused because there was more to do than could be done.")
    lists = figures.lists
    if lists < LEAST_LISTS:
        return
    failed, fallbacks = figures.failed / (lists + figures.failed), _share(figures)
    popular = figures.methods.get("popularity", 0) / lists
    if failed > FAILED:
        yield Alert("RequestsFail", f"{failed:.1%} of the requests ended in a 5xx.")
    if figures.p99 is not None and figures.p99 > P99_MS:
        yield Alert("RecommendationsSlow", f"The p99 of lists is {figures.p99:.0f} ms.")
    if fallbacks > FALLBACKS:
        yield Alert("AnsweredByFallbacks", f"{fallbacks:.1%} of the lists do without a model or the database.")
    if popular > POPULARITY:
        yield Alert("MostlyPopularity", f"{popular:.1%} of the lists are the popular items.")


def _share(figures: LiveFigures) -> float:
    unwanted = sum(number for reason, number in figures.fallbacks.items() if reason not in NO_MODEL)
    return unwanted / figures.lists
