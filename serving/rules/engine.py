"""The rules of this process: read when they change, compiled once for each loaded model and kind of list."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recstage.config import EvaluationConfig
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions
from recstage.data.segments import segment_of
from serving.rules.attributes import CatalogueColumns, ItemAttributes
from serving.rules.plan import ListPlan, compile_plan
from serving.rules.query import NOTHING_KNOWN, Filter, Known
from serving.rules.ruleset import NO_RULES, RuleSet

log = logging.getLogger("serving.rules")
MAX_PLANS = 256
COMPILED = "compiled"
NOTHING_TO_DO = ListPlan()
Place = tuple[str, str | None, tuple[str, ...]]
"""The kind of a list, the segment of its user (None: no user), and the categories it is filtered to."""
Named = tuple[tuple[str, str | float], ...]
"""What is known, of all that the rules name: keys and values."""


class CataloguedModel(Protocol):
    """What is needed of a loaded model; `compiled_rules` keeps what is compiled for it, and is freed with it."""

    @property
    def key(self) -> str: ...
    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def train(self) -> Interactions: ...
    @property
    def compiled_rules(self) -> dict[str, Any]: ...


class _Compiled:
    """What was compiled for one loaded model and one set of rules."""

    def __init__(self, ruleset: RuleSet, columns: CatalogueColumns) -> None:
        self.ruleset, self.columns = ruleset, columns
        self.attributes = ItemAttributes(columns, ruleset.posted)
        self.plans: dict[tuple[Place, Named], ListPlan] = {}
        self.misfits: set[str] = set()


def ignore_misfits(number: int) -> None:
    """An `on_misfits` that does nothing."""


class RuleEngine:
    """Compiles and keeps plans. Safe to use from several threads: at worst a plan is compiled twice."""

    def __init__(self, thresholds: EvaluationConfig, on_misfits: Callable[[int], object] = ignore_misfits) -> None:
        """`thresholds`: from how many interactions on users are warm or hot; `on_misfits`: called with the number of
        rules that name attributes which the items of a loaded model lack, whenever rules were compiled for it."""
        self._thresholds, self._on_misfits = thresholds, on_misfits

    def attributes(self, served: CataloguedModel, ruleset: RuleSet = NO_RULES) -> ItemAttributes:
        """The attributes of a loaded model's items, with what was posted of them."""
        return self._of(served, ruleset).attributes

    def excluded(
        self, served: CataloguedModel, ruleset: RuleSet, filters: Sequence[Filter]
    ) -> NDArray[np.bool_] | None:
        """Items that any of the filters leaves out: bool[n_items]; None without filters.

        Raises `InvalidFilter` where a filter does not fit the attributes of these items.
        """
        if not filters:
            return None
        attributes = self._of(served, ruleset).attributes
        matched = attributes.mask(filters[0])
        for one in filters[1:]:
            matched = matched & attributes.mask(one)
        return ~matched

    def plan(
        self,
        served: CataloguedModel,
        ruleset: RuleSet,
        list_kind: str,
        interactions: int | None = None,
        categories: tuple[str, ...] = (),
        known: Known = NOTHING_KNOWN,
    ) -> ListPlan | None:
        """What the rules say of a list; None where there is nothing to do.

        Args:
            served: the loaded model that makes the list.
            ruleset: the rules that hold now.
            list_kind: one of `definitions.LIST_KINDS`.
            interactions: of its user; None for a list of no user.
            categories: that the list is filtered to.
            known: of its user and its request.
        """
        if not ruleset.rules:
            return None
        place = (list_kind, self._segment(interactions), categories)
        named = tuple((key, known[key]) for key in sorted(ruleset.references) if key in known)
        compiled = self._of(served, ruleset)
        found = compiled.plans.get((place, named))
        if found is None:
            found = self._compile(served, compiled, place, named)
            if len(compiled.plans) >= MAX_PLANS:
                compiled.plans.clear()
            compiled.plans[(place, named)] = found
        return None if found is NOTHING_TO_DO else found

    def _compile(self, served: CataloguedModel, compiled: _Compiled, place: Place, named: Named) -> ListPlan:
        rules = [rule for rule in compiled.ruleset.rules if rule.target.holds_for(*place)]
        if not rules:
            return NOTHING_TO_DO
        found = compile_plan(rules, served.catalogue.items, compiled.attributes, time.time(), dict(named))
        compiled.misfits.update(found.misfits)
        self._on_misfits(len(compiled.misfits))
        if found.misfits:
            log.warning(
                "rules name attributes that the served items lack",
                extra={"event": "rules-misfit", "rules": list(found.misfits), "model": served.key},
            )
        return found if found.excluding or found.arranges else NOTHING_TO_DO

    def _segment(self, interactions: int | None) -> str | None:
        if interactions is None:
            return None
        return segment_of(interactions, self._thresholds.cold_below, self._thresholds.hot_from)

    def _of(self, served: CataloguedModel, ruleset: RuleSet) -> _Compiled:
        found: _Compiled | None = served.compiled_rules.get(COMPILED)
        if found is not None and (found.ruleset is ruleset or found.ruleset.key == ruleset.key):
            return found
        columns = CatalogueColumns(served.catalogue, served.train) if found is None else found.columns
        found = served.compiled_rules[COMPILED] = _Compiled(ruleset, columns)
        return found


@dataclass(frozen=True, slots=True)
class ActiveRules:
    """The engine and the rules that hold while one request is answered."""

    engine: RuleEngine
    ruleset: RuleSet = NO_RULES

    def attributes(self, served: CataloguedModel) -> ItemAttributes:
        """See `RuleEngine.attributes`."""
        return self.engine.attributes(served, self.ruleset)

    def excluded(self, served: CataloguedModel, filters: Sequence[Filter]) -> NDArray[np.bool_] | None:
        """See `RuleEngine.excluded`."""
        return self.engine.excluded(served, self.ruleset, filters)

    def plan(
        self,
        served: CataloguedModel,
        list_kind: str,
        interactions: int | None = None,
        categories: tuple[str, ...] = (),
        known: Known = NOTHING_KNOWN,
    ) -> ListPlan | None:
        """See `RuleEngine.plan`."""
        return self.engine.plan(served, self.ruleset, list_kind, interactions, categories, known)


WITHOUT_RULES = ActiveRules(RuleEngine(EvaluationConfig()))
"""For lists without rules; filters work."""
