"""What a list is made with at one moment: the model, what is hidden, the rules, the catalogue."""

from __future__ import annotations

from dataclasses import dataclass

from serving.catalogue.fields import FieldReader
from serving.catalogue.merged import MergedCatalogue
from serving.interfaces import HiddenItems, History
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

    def cache_key(self, history: History, request: RecommendationRequest) -> tuple:
        """Everything that the list for a request depends on."""
        return self.catalogue.key, history.version, self.hidden.version, self.rules.ruleset.key, request

    @property
    def fields(self) -> FieldReader:
        """Reads fields of items."""
        return FieldReader(self.served, self.catalogue, self.rules.ruleset.posted)

    def check(self, request: RecommendationRequest) -> None:
        """Raise a 422 problem where the request names a category or a field that no item has."""
        self.catalogue.check_categories(request.categories)
        if request.fields:
            self.fields.check(request.fields)
