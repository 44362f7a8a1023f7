"""Click-through by model version: the share of the lists shown that led to a click, or to more than a click."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, distinct, func, select, union

from serving.store.db.reader import Query, Reader
from serving.store.db.tables import RecommendationFeedback, RecommendationImpression, UserInteraction

NO_CLICK = ("view", "dismiss")
Z95 = 1.959964
Shown, Feedback, Interaction = RecommendationImpression, RecommendationFeedback, UserInteraction


@dataclass(frozen=True)
class ClickThrough:
    """Lists of one version, and those that led to a click; `low` and `high`: 95 % interval of the rate (Wilson).

    `version` None: lists of the fallback models.
    """

    version: str | None
    lists: int
    clicked: int

    @property
    def rate(self) -> float:
        return self.clicked / self.lists

    @property
    def interval(self) -> tuple[float, float]:
        """E. B. Wilson, JASA 22 (1927); right for rates near 0, which click-through is."""
        n, p = self.lists, self.rate
        middle = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        half = Z95 / (1 + Z95**2 / n) * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
        return max(0.0, middle - half), min(1.0, middle + half)


def _clicks(column: Any) -> list[Any]:
    return [column != name for name in NO_CLICK]


def _queries() -> tuple[Query, Query]:
    since: Any = bindparam("since")
    shown = select(Shown.model_version, func.count()).where(Shown.shown_at >= since).group_by(Shown.model_version)
    outcomes = union(
        select(Feedback.request_id).where(Feedback.received_at >= since, *_clicks(Feedback.outcome)),
        select(Interaction.request_id).where(
            Interaction.occurred_at >= since,
            Interaction.request_id.is_not(None),
            *_clicks(Interaction.interaction_type),
        ),
    ).subquery()
    clicked = (
        select(Shown.model_version, func.count(distinct(Shown.request_id)))
        .join(outcomes, outcomes.c.request_id == Shown.request_id)
        .where(Shown.shown_at >= since)
        .group_by(Shown.model_version)
    )
    return Query("lists_by_version", shown), Query("clicked_by_version", clicked)


LISTS_BY_VERSION, CLICKED_BY_VERSION = _queries()


def click_through(reader: Reader, since: int) -> list[ClickThrough]:
    """By version, most lists first, of the lists shown since a time (milliseconds since 1970). Raises `StoreError`.

    Reads all lists and events since then: a second for a million.
    """
    parameters = {"since": since}
    clicked = dict(reader.rows(CLICKED_BY_VERSION, parameters))
    shown = reader.rows(LISTS_BY_VERSION, parameters)
    found = [ClickThrough(version, int(lists), int(clicked.get(version, 0))) for version, lists in shown]
    return sorted(found, key=lambda one: -one.lists)
