"""The input and the output of a ranking, and which version makes it, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serving.models.loaded_model import LoadedModel
from serving.models.user import Given
from serving.rules.query import Condition, Filter, bound, references

AUTO = "auto"
Arm = Literal["production", "challenger", "interleaved"]


@dataclass(frozen=True, slots=True)
class RecommendationRequest:
    """The parameters of a list. `diversify` is the lambda of MMR: 1 keeps the model's order."""

    user_id: str
    limit: int = 10
    strategy: str = AUTO
    diversify: float = 1.0
    exclude: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    exclude_seen: bool = True
    explain: bool = False
    filters: tuple[Filter, ...] = ()
    fields: tuple[str, ...] = ()
    """Fields of the catalogue that each item of the list carries."""
    shown: bytes = b""
    """Items of earlier pages, which are left out: digests as `serving.models.item_digests` packs them."""
    given: Given = ()
    """What the request says of the user (`profile.NAME`) and of its moment (`context.NAME`): keys and values."""
    list_kind: str = "recommendations"
    """Which rules hold: one of `serving.rules.definitions.LIST_KINDS`."""

    @property
    def all_filters(self) -> tuple[Filter, ...]:
        """The filters, and the categories as one: so items count with the categories that were posted of them."""
        if not self.categories:
            return self.filters
        return (*self.filters, Filter((Condition("category", "=", self.categories),)))

    def known(self, profile: Given) -> dict[str, str | float]:
        """What is known of the user (`profile`, and in place of it what the request says) and of the request, by key:
        what `@profile.NAME` and `@context.NAME` stand for."""
        return dict((*profile, *self.given))

    def filters_for(self, profile: Given) -> tuple[Filter, ...]:
        """`all_filters` with what is known in place of `@profile.NAME` and `@context.NAME`."""
        filters = self.all_filters
        return bound(filters, self.known(profile)) if references(filters) else filters

    def unlearned_by(self, served: LoadedModel) -> dict[str, list[str]]:
        """For the response: what of the request a version could make nothing of, where there is any."""
        found = served.unlearned(self.given) if self.given else []
        return {"unlearned": found} if found else {}


@dataclass(frozen=True, slots=True)
class UntrainedItem:
    """An item in a list that its model was not trained with; `place`: in the whole list, from 0."""

    place: int
    item_id: str
    score: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RankedItems:
    """A ranking by one model: item indices of `served`, best first, with their scores.

    `method`: the model used. `diversity`: 0 (all items alike) to 1 (nothing in common); None for fewer than two items.
    `reasons`: one sentence an item, where they were requested.
    """

    served: LoadedModel
    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    method: str
    diversity: float | None
    reasons: Sequence[str] | None = None
    rules_applied: tuple[str, ...] = ()
    """Business rules that had a part in the list, by name."""
    untrained: tuple[UntrainedItem, ...] = ()
    """Items among them that the model was not trained with, in the order of their places."""
    degraded: bool = False
    """Whether a model that should have ranked raised."""

    @property
    def item_ids(self) -> list[str]:
        """Ids of the whole list, best first."""
        ids = [self.served.item_ids[item] for item in self.items.tolist()]
        for one in self.untrained:
            ids.insert(one.place, one.item_id)
        return ids


@dataclass(frozen=True, slots=True)
class Assignment:
    """`served` makes the list, in `arm` of `experiment` (None: outside any). `chance`: the probability of that arm.

    `other`: the second version, whose ranking is interleaved with the first. `segment`: of the user, where it decided.
    """

    served: LoadedModel
    experiment: str | None = None
    arm: Arm | None = None
    chance: float = 1.0
    other: LoadedModel | None = None
    segment: str | None = None

    @property
    def body(self) -> dict[str, object] | None:
        """For the response."""
        if self.experiment is None:
            return None
        return {"name": self.experiment, "arm": self.arm, "chance": self.chance}
