"""Filters and business rules for a list that is the same for all users: of trained items, posted ones, and others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from serving.rules.all_items import AllItems
from serving.rules.arrange import arrange_scores
from serving.rules.definitions import Rule
from serving.rules.engine import ActiveRules, CataloguedModel
from serving.rules.query import Filter

Entry = tuple[str, float]


class TrendRules:
    """Keeps the items of the last list, whose attributes are then at hand for the next."""

    def __init__(self) -> None:
        self._items: AllItems | None = None
        self._made_for: tuple[str, frozenset[str]] | None = None

    def applied(
        self,
        served: CataloguedModel | None,
        rules: ActiveRules,
        kind: str,
        filters: tuple[Filter, ...],
        categories: tuple[str, ...],
        ordered: Sequence[Entry],
        limit: int,
        may_be_listed: Callable[[str], bool],
    ) -> tuple[list[Entry], list[Rule], dict[str, Rule]]:
        """The list by the rules: items with scores, the rules that had a part in it, and pinned items with their rules.

        Args:
            served: the loaded model; None: there is none.
            rules: that hold now.
            kind: of the list: popular, trending or latest.
            filters: of the request.
            categories: that the request names.
            ordered: candidates, best first.
            limit: items wanted.
            may_be_listed: whether an item is neither hidden nor left out by the request.

        Raises:
            InvalidFilter: a filter does not fit the attributes.
        """
        items = self._of(served, {*rules.ruleset.posted.items, *(item_id for item_id, _ in ordered)})
        ids = items.catalogue.items
        excluded = ~items.catalogue.available
        filtered = rules.excluded(items, filters)
        if filtered is not None:
            excluded |= filtered
        plan = rules.plan(items, kind, None, categories)
        if plan is not None and plan.excluded is not None:
            excluded |= plan.excluded
        scores = np.full(len(ids), -np.inf, np.float32)
        index = ids.index_of([item_id for item_id, _ in ordered])
        scores[index] = np.array([score for _, score in ordered], np.float32)
        pins = {} if plan is None else {pin.item for pin in plan.pins}
        for item in {*index.tolist(), *pins}:
            if not may_be_listed(str(ids.ids[item])):
                excluded[item] = True
        if plan is None or not plan.arranges:
            chosen = [one for one, place in zip(ordered, index.tolist(), strict=True) if not excluded[place]]
            return chosen[:limit], [] if plan is None else list(plan.excluding), {}
        found = arrange_scores(plan, limit, excluded, scores)
        values = np.where(np.isfinite(found.scores), found.scores, 0.0)  # a pinned item that is no candidate has none
        entries = list(zip(ids.id_of(found.items).tolist(), values.tolist(), strict=True))
        return entries, list(found.applied), {str(ids.ids[item]): rule for item, rule in found.pinned.items()}

    def _of(self, served: CataloguedModel | None, further: set[str]) -> AllItems:
        made_for = ("" if served is None else served.key, frozenset(further))
        if self._items is None or made_for != self._made_for:
            self._items, self._made_for = AllItems.of(served, further), made_for
        return self._items
