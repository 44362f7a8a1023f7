"""What a list is made with at one moment: the model, what is hidden, the rules, the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serving.catalogue.fields import FieldReader
from serving.catalogue.merged import MergedCatalogue
from serving.catalogue.placement import PlacedItem
from serving.interfaces import HiddenItems, History
from serving.models import item_digests
from serving.models.loaded_model import LoadedModel
from serving.recommend.request import RecommendationRequest
from serving.rules.engine import ActiveRules


@dataclass(frozen=True, slots=True)
class ListState:
    """Taken once by a request. `degraded`: some of it could not be read, and is as it was read last."""

    served: LoadedModel
    hidden: HiddenItems
    rules: ActiveRules
    catalogue: MergedCatalogue
    degraded: bool
    new_items: Sequence[PlacedItem] = ()
    """Items of the service's catalogue that the version was not trained with, the latest, and where they belong."""

    def cache_key(self, history: History, request: RecommendationRequest) -> tuple:
        """Everything that the list for a request depends on."""
        return self.catalogue.key, history.version, self.hidden.version, self.rules.ruleset.key, request

    def new_candidates(self, request: RecommendationRequest, history: History) -> list[PlacedItem]:
        """The new items that may be on a list.

        Where filters or business rules hold for the list there are none: those look at attributes of trained items.
        """
        known = request.known(history.profile)
        ruled = self.rules.plan(self.served, request.list_kind, len(history.item_ids), request.categories, known)
        if not self.new_items or request.filters or ruled is not None:
            return []
        refused = {*request.exclude, *(history.item_ids if request.exclude_seen else ())} | self.hidden.item_ids
        among = self.catalogue.in_categories(request.categories) if request.categories else None
        shown = frozenset(item_digests.unpacked(request.shown).tolist())
        return [
            one
            for one in self.new_items
            if one.item_id not in refused
            and (among is None or one.item_id in among)
            and not (shown and item_digests.of([one.item_id])[0] in shown)
        ]

    @property
    def fields(self) -> FieldReader:
        """Reads fields of items."""
        return FieldReader(self.served, self.catalogue, self.rules.ruleset.posted)

    def check(self, request: RecommendationRequest) -> None:
        """Raise a 422 problem where the request names a category or a field that no item has."""
        self.catalogue.check_categories(request.categories)
        if request.fields:
            self.fields.check(request.fields)
