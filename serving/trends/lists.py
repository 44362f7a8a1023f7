"""Popular, trending and latest items: an order of ids, and which of them a request lists."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from recstage.models.base import POPULARITY
from serving.catalogue.merged import MergedCatalogue
from serving.interfaces import HiddenItems
from serving.models import item_digests
from serving.models.loaded_model import LoadedModel
from serving.rules.engine import WITHOUT_RULES, ActiveRules
from serving.rules.query import Filter
from serving.trends.board import HOURS, Activity, Window
from serving.trends.by_rules import TrendRules

Kind = Literal["popular", "trending", "latest"]
MILLISECONDS_PER_HOUR = 3_600_000
Reason = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class TrendRequest:
    """The parameters of a list. `window` None: without a bound, for the latest items."""

    kind: Kind
    window: Window | None
    limit: int = 10
    exclude: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    explain: bool = False
    fields: tuple[str, ...] = ()
    shown: bytes = b""
    """Items of earlier pages, which are left out: digests as `serving.models.item_digests` packs them."""
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class TrendList:
    """Items, best first. `method`: popular, trending, latest, or popularity (in training) where nothing happened."""

    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    method: str
    reasons: tuple[str, ...] | None = None
    rules_applied: tuple[str, ...] = ()


def trend_list(
    request: TrendRequest,
    activity: Activity,
    catalogue: MergedCatalogue,
    hidden: HiddenItems,
    now: float | None = None,
    served: LoadedModel | None = None,
    rules: ActiveRules = WITHOUT_RULES,
    trend_rules: TrendRules | None = None,
) -> TrendList:
    """The list for a request; hidden and unavailable items are never on it.

    Args:
        request: which list.
        activity: of the request's window.
        catalogue: of the service and the served version.
        hidden: items that must not be listed.
        now: seconds since 1970, the present by default.
        served: the loaded model; None: there is none.
        rules: the business rules that hold now.
        trend_rules: applies them, and filters.

    Raises:
        InvalidFilter: a filter does not fit the attributes of the items.
    """
    ordered, method, reason = _ordered(request, activity, catalogue, time.time() if now is None else now)
    may_be_listed = _condition(request, catalogue, hidden)
    if request.filters or rules.ruleset.rules:
        chosen, applied, pinned = (trend_rules or TrendRules()).applied(
            served,
            rules,
            request.kind,
            request.filters,
            request.categories,
            list(ordered),
            request.limit,
            may_be_listed,
        )
        reasons = [
            f"It was placed here by the rule '{pinned[item_id].name}'." if item_id in pinned else reason(item_id)
            for item_id, _ in (chosen if request.explain else ())
        ]
        return TrendList(
            tuple(item_id for item_id, _ in chosen),
            tuple(score for _, score in chosen),
            method,
            tuple(reasons) if request.explain else None,
            tuple(rule.name for rule in applied),
        )
    chosen = list(islice((one for one in ordered if may_be_listed(one[0])), request.limit))
    return TrendList(
        tuple(item_id for item_id, _ in chosen),
        tuple(score for _, score in chosen),
        method,
        tuple(reason(item_id) for item_id, _ in chosen) if request.explain else None,
    )


def _ordered(
    request: TrendRequest, activity: Activity, catalogue: MergedCatalogue, now: float
) -> tuple[Iterable[tuple[str, float]], str, Reason]:
    """All candidates with their scores, best first; the method; and why an item is on the list."""
    if request.kind == "latest":
        return _latest(request.window, catalogue, now), "latest", lambda item_id: "It is one of the latest items."
    window = request.window or "week"
    if request.kind == "trending" and activity.trending:
        return activity.trending, "trending", lambda item_id: _rise(activity, item_id, window)
    if activity.popular:
        return activity.popular, "popular", lambda item_id: f"Many users chose it in the last {window}."
    return catalogue.by_popularity, POPULARITY, lambda item_id: "Many users chose it."


def _rise(activity: Activity, item_id: str, window: Window) -> str:
    one = activity.by_id[item_id]
    if one.before <= 0:
        return f"Users began to choose it in the last {window}."
    return f"Users chose it {one.recent / one.before:.1f} times as much as in the {window} before."


def _latest(window: Window | None, catalogue: MergedCatalogue, now: float) -> Iterable[tuple[str, float]]:
    """Items first known within the window; the score halves with each half of the window, or with each month."""
    hours = HOURS[window or "month"]
    for item_id, at in catalogue.latest:
        age = max(0.0, now * 1000 - at) / MILLISECONDS_PER_HOUR
        if window is not None and age >= hours:
            return
        yield item_id, 0.5 ** min(age / (hours / 2), 1000.0)


def _condition(request: TrendRequest, catalogue: MergedCatalogue, hidden: HiddenItems) -> Callable[[str], bool]:
    """Whether an item may be listed: not hidden, unavailable, left out, shown before or of other categories."""
    refused = (hidden.item_ids, catalogue.unavailable, frozenset(request.exclude))
    shown = frozenset(item_digests.unpacked(request.shown).tolist())
    among = catalogue.in_categories(request.categories) if request.categories else None

    def may_be_listed(item_id: str) -> bool:
        if any(item_id in some for some in refused) or (among is not None and item_id not in among):
            return False
        return not shown or item_digests.of([item_id])[0] not in shown

    return may_be_listed
